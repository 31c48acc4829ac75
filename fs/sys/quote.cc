#include "fs/sys/quote.h"

#include <optional>

#include <fmt/format.h>

namespace layerfs::sys {

namespace {

constexpr std::size_t kLongest = 240;

struct Character {
  char32_t code;
  std::size_t length;  // bytes
};

// The character that begins the text, which is not empty; nothing if its bytes are not UTF-8 in the
// shortest form.
std::optional<Character> first_character(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return Character{first, 1};
  const std::size_t length = first < 0xc2   ? 0
                             : first < 0xe0 ? 2
                             : first < 0xf0 ? 3
                             : first < 0xf5 ? 4
                                            : 0;
  if (length == 0 || length > text.size()) return std::nullopt;
  char32_t code = first & (0xff >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return std::nullopt;
    code = code << 6 | (byte(i) & 0x3f);
  }
  const bool too_long = (length == 3 && code < 0x800) || (length == 4 && code < 0x10000);
  const bool surrogate = code >= 0xd800 && code <= 0xdfff;
  if (too_long || surrogate || code > 0x10ffff) return std::nullopt;
  return Character{code, length};
}

// Whether a terminal obeys the character instead of showing it.
bool is_command(char32_t code) {
  const bool control = code < 0x20 || (code >= 0x7f && code < 0xa0);
  const bool ends_line = code == 0x2028 || code == 0x2029;
  const bool turns = (code >= 0x202a && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
  return control || ends_line || turns;
}

}  // namespace

std::string escaped(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const std::optional<Character> character = first_character(text);
    const std::size_t length = character ? character->length : 1;
    if (character && !is_command(character->code)) {
      out += text.substr(0, length);
    } else {
      for (const unsigned char byte : text.substr(0, length)) out += fmt::format("\\x{:02x}", byte);
    }
    text.remove_prefix(length);
  }
  return out;
}

std::string quote(std::string_view name) {
  if (name.size() <= kLongest) return "'" + escaped(name) + "'";
  return "'" + escaped(name.substr(0, kLongest / 2)) + "..." +
         escaped(name.substr(name.size() - kLongest / 2)) + "'";
}

std::string json_escaped(std::string_view document) {
  std::string out;
  out.reserve(document.size());
  while (!document.empty()) {
    const std::optional<Character> character = first_character(document);
    const std::size_t length = character ? character->length : 1;
    // A control character of the first 32 is the layout's: JSON has none within strings.
    if (!character) {
      out += "\\ufffd";
    } else if (character->code >= 0x20 && is_command(character->code)) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(character->code));
    } else {
      out += document.substr(0, length);
    }
    document.remove_prefix(length);
  }
  return out;
}

}  // namespace layerfs::sys
