#include "fs/layer/index_format.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace layerfs::layer::index_format {

std::uint64_t header_checksum(Header header) {
  header.header_checksum = 0;
  return checksum(&header, sizeof header);
}

std::uint64_t checksum(const void* data, std::size_t size) { return XXH3_64bits(data, size); }

}  // namespace layerfs::layer::index_format
