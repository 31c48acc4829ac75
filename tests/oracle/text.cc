#include "tests/oracle/text.h"

#include <string.h>

#include <charconv>
#include <cstdlib>

#include <fmt/format.h>

namespace layerfs::oracle {
namespace {

bool is_plain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("._-/+:|,@#%").find(c) != std::string_view::npos;
}

std::string escape(char c) {
  if (c == '"' || c == '\\') return {'\\', c};
  if (c == '\n') return "\\n";
  const auto byte = static_cast<unsigned char>(c);
  if (byte >= 0x20 && byte < 0x7f) return {c};
  return fmt::format("\\x{:02x}", byte);
}

// Reads one quoted value; `at` stands behind the opening quote and is left behind the closing one.
Outcome<std::string> unquote(std::string_view line, size_t& at) {
  std::string value;
  while (at < line.size() && line[at] != '"') {
    if (line[at] != '\\') {
      value += line[at++];
      continue;
    }
    if (at + 1 >= line.size()) return refuse("a line ends within an escape", EINVAL);
    const char kind = line[at + 1];
    at += 2;
    if (kind != 'x') {
      value += kind == 'n' ? '\n' : kind;
      continue;
    }
    unsigned byte = 0;
    if (at + 2 > line.size()) return refuse("a line ends within an escape", EINVAL);
    const char* end = line.data() + at + 2;
    if (std::from_chars(line.data() + at, end, byte, 16).ptr != end)
      return refuse("an escape without two hexadecimal digits", EINVAL);
    value += static_cast<char>(byte);
    at += 2;
  }
  if (at >= line.size()) return refuse("a line ends within quotes", EINVAL);
  ++at;
  return value;
}

}  // namespace

std::string quote(std::string_view value) {
  bool plain = !value.empty();
  for (char c : value) plain = plain && is_plain(c);
  if (plain) return std::string(value);
  std::string out = "\"";
  for (char c : value) out += escape(c);
  return out + '"';
}

Outcome<std::vector<Word>> split_words(std::string_view line) {
  std::vector<Word> words;
  size_t at = 0;
  while (at < line.size()) {
    if (line[at] == ' ') {
      ++at;
      continue;
    }
    Word word;
    if (line[at] == '"') {
      LAYERFS_TRY_ASSIGN(word.key, unquote(line, ++at));
    }
    while (at < line.size() && line[at] != ' ' && line[at] != '=') word.key += line[at++];
    if (at < line.size() && line[at] == '=') {
      ++at;
      if (at < line.size() && line[at] == '"') {
        LAYERFS_TRY_ASSIGN(word.value, unquote(line, ++at));
      }
      while (at < line.size() && line[at] != ' ') word.value += line[at++];
    }
    words.push_back(std::move(word));
  }
  return words;
}

std::vector<std::string> split_lines(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    lines.emplace_back(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return lines;
}

Outcome<int64_t> parse_number(std::string_view text) {
  const std::string copy(text);
  char* end = nullptr;
  errno = 0;
  const long long value = std::strtoll(copy.c_str(), &end, 0);
  if (copy.empty() || *end != '\0' || errno != 0)
    return refuse(fmt::format("{} is no number", quote(text)), EINVAL);
  return value;
}

uint64_t digest(std::string_view bytes, uint64_t state) {
  for (char c : bytes) state = (state ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  return state;
}

std::string errno_name(int code) {
  const char* name = strerrorname_np(code);
  return name != nullptr ? name : std::to_string(code);
}

}  // namespace layerfs::oracle
