#include "tools/lower_list.h"

#include <cerrno>

namespace layerfs::tools {
std::string unescaped(std::string_view value) {
  std::string out;
  for (std::size_t i = 0; i < value.size(); ++i) {
    if (value[i] == '\\' && i + 1 < value.size()) ++i;
    out += value[i];
  }
  return out;
}

std::vector<std::string> split_directories(std::string_view value) {
  std::vector<std::string> parts;
  std::size_t begin = 0;
  for (std::size_t i = 0; i <= value.size(); ++i) {
    if (i == value.size() || value[i] == ':') {
      parts.push_back(unescaped(value.substr(begin, i - begin)));
      begin = i + 1;
    } else if (value[i] == '\\' && i + 1 < value.size()) {
      ++i;
    }
  }
  return parts;
}

Outcome<LowerList> parse_lower_list(std::string_view value) {
  std::vector<std::string> parts = split_directories(value);
  if (parts.front().empty()) return refuse("begins with a colon", EINVAL);
  if (parts.back().empty()) return refuse("ends with a colon", EINVAL);
  LowerList list;
  bool after_two = false;  // colons
  for (std::string& part : parts) {
    if (part.empty()) {
      if (after_two) return refuse("has more than two colons in a row", EINVAL);
      after_two = true;
      continue;
    }
    if (!after_two && !list.data_only.empty())
      return refuse("has a lower directory behind the data-only ones, which '::' begins", EINVAL);
    (after_two ? list.data_only : list.lowers).push_back(std::move(part));
    after_two = false;
  }
  return list;
}

}  // namespace layerfs::tools
