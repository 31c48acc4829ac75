// Numbers as people read them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace layerfs::tools {

// "217 MB", "1.3 kB", "12 B": powers of 1000, three digits at most.
std::string human_size(std::uint64_t bytes);

// "1 layer", "2 layers".
std::string counted(std::size_t count, const std::string& thing);

}  // namespace layerfs::tools
