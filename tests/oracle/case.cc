#include "tests/oracle/case.h"

#include <array>

#include <fmt/format.h>

namespace layerfs::oracle {
namespace {

constexpr std::array kEntryNames = {"dir", "file", "symlink", "hardlink", "device", "whiteout"};
constexpr std::array kEncodingNames = {"device", "xattr", "aufs"};
constexpr std::string_view kXattrPrefix = "x:";

struct NumberField {
  const char* key;
  int64_t Entry::*member;
  bool octal = false;
};
constexpr NumberField kNumbers[] = {
    {"mode", &Entry::mode, true}, {"uid", &Entry::uid},       {"gid", &Entry::gid},
    {"mtime", &Entry::mtime},     {"device", &Entry::device}, {"size", &Entry::size},
    {"fill", &Entry::fill},
};

template <typename Names>
Outcome<size_t> find_name(const Names& names, std::string_view name) {
  for (size_t i = 0; i < names.size(); ++i)
    if (name == names[i]) return i;
  return refuse(fmt::format("{} is unknown here", quote(name)), EINVAL);
}

Outcome<void> assign(Entry& entry, const Word& word) {
  for (const NumberField& field : kNumbers) {
    if (word.key != field.key) continue;
    LAYERFS_TRY_ASSIGN(entry.*field.member, parse_number(word.value));
    return {};
  }
  if (word.key == "path")
    entry.path = word.value;
  else if (word.key == "target")
    entry.target = word.value;
  else if (word.key == "sparse")
    entry.sparse = true;
  else if (word.key == "opaque")
    entry.opaque = true;
  else if (word.key.starts_with(kXattrPrefix))
    entry.xattrs.push_back({word.key.substr(kXattrPrefix.size()), word.value});
  else
    return refuse(fmt::format("an entry has no field {}", quote(word.key)), EINVAL);
  return {};
}

Outcome<Entry> parse_entry(const std::vector<Word>& words) {
  Entry entry;
  LAYERFS_TRY_ASSIGN(const size_t kind, find_name(kEntryNames, words[0].key));
  entry.kind = static_cast<EntryKind>(kind);
  for (size_t i = 1; i < words.size(); ++i) LAYERFS_TRY(assign(entry, words[i]));
  return entry;
}

// Reads a line before the operations.
Outcome<void> parse_head(Case& test, const std::vector<Word>& words) {
  const Word& first = words[0];
  if (first.key == "seed") {
    test.seed = std::strtoull(first.value.c_str(), nullptr, 10);
  } else if (first.key == "options") {
    test.options = first.value;
  } else if (first.key == "encoding") {
    LAYERFS_TRY_ASSIGN(const size_t index, find_name(kEncodingNames, first.value));
    test.encoding = static_cast<Encoding>(index);
  } else if (first.key == "upper_mode") {
    LAYERFS_TRY_ASSIGN(test.upper_mode, parse_number(first.value));
  } else if (first.key == "layer") {
    test.layers.emplace_back();
  } else {
    LAYERFS_TRY_ASSIGN(Entry entry, parse_entry(words));
    if (test.layers.empty()) return refuse("an entry stands before the first layer", EINVAL);
    test.layers.back().push_back(std::move(entry));
  }
  return {};
}

uint64_t mix(uint64_t value) {
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9ULL;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebULL;
  return value ^ (value >> 31);
}

}  // namespace

std::string to_text(const Entry& entry) {
  const Entry defaults;
  std::string line =
      fmt::format("{} path={}", kEntryNames[static_cast<size_t>(entry.kind)], quote(entry.path));
  if (!entry.target.empty()) line += " target=" + quote(entry.target);
  for (const NumberField& field : kNumbers) {
    const int64_t value = entry.*field.member;
    if (value == defaults.*field.member) continue;
    line += field.octal ? fmt::format(" {}=0{:o}", field.key, value)
                        : fmt::format(" {}={}", field.key, value);
  }
  if (entry.sparse) line += " sparse";
  if (entry.opaque) line += " opaque";
  for (const Word& xattr : entry.xattrs)
    line += fmt::format(" {}{}={}", kXattrPrefix, xattr.key, quote(xattr.value));
  return line;
}

std::string to_text(const Case& test) {
  std::string out = fmt::format(
      "seed={}\noptions={}\nencoding={}\nupper_mode=0{:o}\n", test.seed, quote(test.options),
      kEncodingNames[static_cast<size_t>(test.encoding)], test.upper_mode);
  for (const LayerTree& layer : test.layers) {
    out += "layer\n";
    for (const Entry& entry : layer) out += to_text(entry) + '\n';
  }
  out += "ops\n";
  for (const Op& op : test.ops) out += to_text(op) + '\n';
  return out;
}

Outcome<Case> parse_case(std::string_view text) {
  Case test;
  bool in_ops = false;
  int number = 0;
  for (const std::string& line : split_lines(text)) {
    ++number;
    if (line.empty() || line[0] == '#') continue;
    if (line == "ops") {
      in_ops = true;
      continue;
    }
    const Outcome<void> parsed = [&]() -> Outcome<void> {
      if (in_ops) {
        LAYERFS_TRY_ASSIGN(Op op, parse_op(line));
        test.ops.push_back(std::move(op));
        return {};
      }
      LAYERFS_TRY_ASSIGN(const std::vector<Word> words, split_words(line));
      return parse_head(test, words);
    }();
    if (!parsed) return refuse(fmt::format("line {}: {}", number, parsed.error().sentence), EINVAL);
  }
  if (test.layers.empty()) return refuse("a script needs at least one layer", EINVAL);
  return test;
}

std::string pattern(int64_t fill, int64_t off, int64_t len) {
  std::string bytes;
  if (len <= 0) return bytes;
  bytes.reserve(static_cast<size_t>(len) + 8);
  int64_t block = off / 8;
  const auto skip = static_cast<size_t>(off % 8);
  while (bytes.size() < static_cast<size_t>(len) + skip) {
    const uint64_t word =
        mix(static_cast<uint64_t>(block++) * 0x9e3779b97f4a7c15ULL + static_cast<uint64_t>(fill));
    bytes.append(reinterpret_cast<const char*>(&word), 8);
  }
  return bytes.substr(skip, static_cast<size_t>(len));
}

}  // namespace layerfs::oracle
