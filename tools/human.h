// Numbers as people read them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <string>
#include <vector>

namespace layerfs::tools {

// "217 MB", "1.3 kB", "12 B": powers of 1000, three digits at most.
std::string human_size(std::uint64_t bytes);

// "1 layer", "2 layers".
std::string counted(std::size_t count, const std::string& thing);

// Columns of equal width, two spaces between them; the first row is the heading.
void print_table(std::ostream& out, const std::vector<std::vector<std::string>>& rows);

}  // namespace layerfs::tools
