#include "tools/id_options.h"

#include <charconv>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

namespace layerfs::tools {

namespace {

// The greatest value means "none" to the kernel.
constexpr std::uint32_t kLast = std::numeric_limits<std::uint32_t>::max() - 1;

std::optional<std::uint32_t> number(std::string_view text) {
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

bool fits(const op::IdRange& range) {
  return range.count > 0 && range.stored <= kLast && range.count - 1 <= kLast - range.stored &&
         range.shown <= kLast && range.count - 1 <= kLast - range.shown;
}

}  // namespace

std::optional<op::IdMap> parse_id_map(std::string_view text) {
  if (text.starts_with(':')) text.remove_prefix(1);
  std::vector<std::uint32_t> numbers;
  for (bool more = true; more;) {
    const std::size_t colon = text.find(':');
    const auto value = number(text.substr(0, colon));
    if (!value) return std::nullopt;
    numbers.push_back(*value);
    more = colon != std::string_view::npos;
    if (more) text.remove_prefix(colon + 1);
  }
  if (numbers.size() % 3 != 0) return std::nullopt;
  std::vector<op::IdRange> ranges;
  for (std::size_t i = 0; i < numbers.size(); i += 3) {
    ranges.push_back({numbers[i], numbers[i + 1], numbers[i + 2]});
    if (!fits(ranges.back())) return std::nullopt;
  }
  return op::IdMap(std::move(ranges));
}

std::optional<op::IdMap> parse_squash(std::string_view text) {
  const auto id = number(text);
  if (!id || *id > kLast) return std::nullopt;
  return op::IdMap::squash(*id);
}

}  // namespace layerfs::tools
