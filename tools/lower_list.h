// The value of the option lowerdir=.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "fs/sys/failure.h"

namespace layerfs::tools {

// The directories of a union's lower layers, topmost first.
struct LowerList {
  std::vector<std::string> lowers;
  std::vector<std::string> data_only;
};

// The value without the backslashes that take the special meaning from the character behind them.
std::string unescaped(std::string_view value);

// The parts between colons that no backslash escapes, without their backslashes.
std::vector<std::string> split_directories(std::string_view value);

// As kernel overlayfs reads it: "A:B::D:..." is refused, "A:B::D::E" has two data-only layers. The
// Failure is the end of a sentence: what is wrong with the colons.
Outcome<LowerList> parse_lower_list(std::string_view value);

}  // namespace layerfs::tools
