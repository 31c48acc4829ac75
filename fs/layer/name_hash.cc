#include "fs/layer/name_hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace layerfs::layer {

std::uint64_t name_hash(std::string_view name) {
  const std::uint64_t hash = XXH3_64bits(name.data(), name.size()) >> 1;
  return hash < kFirstNameHash ? hash + kFirstNameHash : hash;
}

}  // namespace layerfs::layer
