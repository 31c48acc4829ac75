// The hash of a file name that orders directories.
#pragma once

#include <cstdint>
#include <string_view>

namespace layerfs::layer {

// The smallest value that name_hash() returns; cookies below are free for the start of a listing,
// "." and "..".
inline constexpr std::uint64_t kFirstNameHash = 3;

// 63 bits of XXH3, and never below kFirstNameHash: fits into the off_t of a directory stream. The
// same for a name at all times and on all machines, for it is part of the layer index's format and
// is what a reader of a directory holds as its position. Names may collide, by chance or by intent:
// whoever uses it as a key compares the names too.
std::uint64_t name_hash(std::string_view name);

// Another such hash, which nobody can foresee who does not know the seed.
std::uint64_t seeded_name_hash(std::string_view name, std::uint64_t seed);

}  // namespace layerfs::layer
