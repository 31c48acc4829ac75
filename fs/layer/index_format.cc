#include "fs/layer/index_format.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace layerfs::layer::index_format {

std::uint64_t header_checksum(Header header) {
  header.header_checksum = 0;
  return checksum(&header, sizeof header);
}

std::uint64_t checksum(const void* data, std::size_t size) { return XXH3_64bits(data, size); }

struct Checksum::State {
  XXH3_state_t sum;
};

Checksum::Checksum() : state_(std::make_unique<State>()) { XXH3_64bits_reset(&state_->sum); }
Checksum::~Checksum() = default;

void Checksum::add(const void* data, std::size_t size) {
  XXH3_64bits_update(&state_->sum, data, size);
}

std::uint64_t Checksum::value() const { return XXH3_64bits_digest(&state_->sum); }

}  // namespace layerfs::layer::index_format
