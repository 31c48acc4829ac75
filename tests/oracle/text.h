// The line format that scripts, results and snapshots share: words separated by one space, each
// `key` or `key=value`; a value with anything but plain characters stands in double quotes with
// C-like escapes (\n, \", \\, \xHH).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "fs/sys/failure.h"

namespace layerfs::oracle {

struct Word {
  std::string key;
  std::string value;
  bool operator==(const Word&) const = default;
};

// `value` as it stands after the `=`: plain where possible, else quoted.
std::string quote(std::string_view value);

// Reverses a line of words. Refuses unbalanced quotes and malformed escapes.
Outcome<std::vector<Word>> split_words(std::string_view line);

// The lines of `text` without their newlines; an unterminated last line counts.
std::vector<std::string> split_lines(std::string_view text);

// A number in C notation (0x.., 0.., decimal, with sign).
Outcome<int64_t> parse_number(std::string_view text);

// FNV-1a, continued from `state`: a short name for bytes in results and snapshots.
inline constexpr uint64_t kDigestStart = 0xcbf29ce484222325ULL;
uint64_t digest(std::string_view bytes, uint64_t state = kDigestStart);

// "ENOENT" for ENOENT; the decimal number for one without a name.
std::string errno_name(int code);

}  // namespace layerfs::oracle
