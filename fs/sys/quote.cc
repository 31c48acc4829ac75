#include "fs/sys/quote.h"

#include <fmt/format.h>

namespace layerfs::sys {

namespace {

constexpr std::size_t kLongest = 240;

// The length of the valid UTF-8 character that begins the text, 0 if none does.
std::size_t character_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  const std::size_t length = first < 0x80   ? 1
                             : first < 0xc2 ? 0
                             : first < 0xe0 ? 2
                             : first < 0xf0 ? 3
                             : first < 0xf5 ? 4
                                            : 0;
  if (length == 0 || length > text.size()) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  return length;
}

}  // namespace

std::string escaped(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const auto first = static_cast<unsigned char>(text[0]);
    const std::size_t length = character_length(text);
    // C1 controls (0xc2 0x80..0x9f) move a terminal's cursor as well.
    const bool control =
        first < 0x20 || first == 0x7f ||
        (length == 2 && first == 0xc2 && static_cast<unsigned char>(text[1]) < 0xa0);
    if (length == 0 || control) {
      out += fmt::format("\\x{:02x}", first);
      text.remove_prefix(1);
    } else {
      out += text.substr(0, length);
      text.remove_prefix(length);
    }
  }
  return out;
}

std::string quote(std::string_view name) {
  if (name.size() <= kLongest) return "'" + escaped(name) + "'";
  return "'" + escaped(name.substr(0, kLongest / 2)) + "..." +
         escaped(name.substr(name.size() - kLongest / 2)) + "'";
}

}  // namespace layerfs::sys
