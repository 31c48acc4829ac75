#include "snapshotter/id_mapping.h"

#include <charconv>
#include <cstdint>
#include <limits>
#include <string_view>

namespace layerfs::snapshotter {

namespace {

// The greatest id means "none" to the kernel.
constexpr std::uint64_t kIds = std::numeric_limits<std::uint32_t>::max();

// The number that `text` begins with, up to `end` or the end of the text; nothing else.
bool take_number(std::string_view& text, char end, std::uint64_t& value) {
  const auto [at, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc()) return false;
  text.remove_prefix(static_cast<std::size_t>(at - text.data()));
  if (text.empty()) return end == ',';
  if (text.front() != end) return false;
  text.remove_prefix(1);
  return true;
}

bool is_mapping(std::string_view text) {
  if (text.empty() || text.ends_with(',')) return false;
  while (!text.empty()) {
    std::uint64_t container = 0, host = 0, size = 0;
    if (!take_number(text, ':', container) || !take_number(text, ':', host) ||
        !take_number(text, ',', size)) {
      return false;
    }
    if (size == 0 || size > kIds || container > kIds - size || host > kIds - size) return false;
  }
  return true;
}

}  // namespace

bool has_id_mapping(const Labels& labels) {
  return labels.contains(kUidMapLabel) || labels.contains(kGidMapLabel);
}

Answer<std::vector<std::string>> id_mapping_options(const Labels& labels) {
  std::vector<std::string> options;
  for (const auto& [label, option] :
       {std::pair{kUidMapLabel, "uidmapping="}, std::pair{kGidMapLabel, "gidmapping="}}) {
    const auto found = labels.find(label);
    if (found == labels.end()) continue;
    std::string value = found->second;
    if (!is_mapping(value)) {
      return deny(Code::kInvalidArgument, "the label " + std::string(label) + "='" + value +
                                              "' is no mapping CONTAINER:HOST:SIZE[,...]");
    }
    for (char& c : value) c = c == ',' ? ':' : c;
    options.push_back(option + value);
  }
  return options;
}

}  // namespace layerfs::snapshotter
