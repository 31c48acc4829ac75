#include "fs/layer/name_hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace layerfs::layer {

namespace {

std::uint64_t as_key(std::uint64_t hash) {
  hash >>= 1;
  return hash < kFirstNameHash ? hash + kFirstNameHash : hash;
}

}  // namespace

std::uint64_t name_hash(std::string_view name) {
  return as_key(XXH3_64bits(name.data(), name.size()));
}

std::uint64_t seeded_name_hash(std::string_view name, std::uint64_t seed) {
  return as_key(XXH3_64bits_withSeed(name.data(), name.size(), seed));
}

}  // namespace layerfs::layer
