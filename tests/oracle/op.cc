#include "tests/oracle/op.h"

#include <array>
#include <iterator>

#include <fmt/format.h>

#include "tests/oracle/text.h"

namespace layerfs::oracle {
namespace {

constexpr std::array kKindNames = {
    "open",         "reopen",     "close",      "read",      "write",     "mapread",
    "mapwrite",     "ftruncate",  "fallocate",  "copyrange", "seek",      "fsync",
    "fstat",        "fchmod",     "fchown",     "futimens",  "fsetxattr", "fgetxattr",
    "fremovexattr", "flistxattr", "list",       "churn",     "slurp",     "poke",
    "truncate",     "mkdir",      "rmdir",      "unlink",    "rename",    "link",
    "linkfd",       "symlink",    "readlink",   "mknod",     "stat",      "chmod",
    "chown",        "lchown",     "utimens",    "setxattr",  "getxattr",  "removexattr",
    "listxattr",    "access",     "statfs",     "ls",        "rmtree",    "tree",
    "dropcaches",   "remount",    "stackupper",
};
static_assert(kKindNames.size() == static_cast<size_t>(OpKind::kStackUpper) + 1);

enum class Base { kDecimal, kOctal, kHex };

struct NumberField {
  const char* key;
  int64_t Op::*member;
  Base base = Base::kDecimal;
};
constexpr NumberField kNumbers[] = {
    {"slot", &Op::slot},
    {"slot2", &Op::slot2},
    {"at", &Op::at},
    {"flags", &Op::flags, Base::kHex},
    {"mode", &Op::mode, Base::kOctal},
    {"off", &Op::off},
    {"off2", &Op::off2},
    {"len", &Op::len},
    {"fill", &Op::fill},
    {"uid", &Op::uid},
    {"gid", &Op::gid},
    {"umask", &Op::umask, Base::kOctal},
    {"as", &Op::as},
};

struct TextField {
  const char* key;
  std::string Op::*member;
};
constexpr TextField kTexts[] = {
    {"path", &Op::path},   {"path2", &Op::path2}, {"name", &Op::name},
    {"value", &Op::value}, {"atime", &Op::atime}, {"mtime", &Op::mtime},
};

std::string number_text(int64_t value, Base base) {
  if (base == Base::kOctal && value > 0) return fmt::format("0{:o}", value);
  if (base == Base::kHex && value > 0) return fmt::format("{:#x}", value);
  return std::to_string(value);
}

Outcome<void> assign(Op& op, const Word& word) {
  for (const TextField& field : kTexts) {
    if (word.key != field.key) continue;
    op.*field.member = word.value;
    return {};
  }
  for (const NumberField& field : kNumbers) {
    if (word.key != field.key) continue;
    LAYERFS_TRY_ASSIGN(op.*field.member, parse_number(word.value));
    return {};
  }
  return refuse(fmt::format("an operation has no field {}", quote(word.key)), EINVAL);
}

}  // namespace

std::string_view kind_name(OpKind kind) { return kKindNames[static_cast<size_t>(kind)]; }

bool is_remount(const Op& op) {
  return op.kind == OpKind::kRemount || op.kind == OpKind::kStackUpper;
}

std::string to_text(const Op& op) {
  const Op defaults;
  std::string line(kind_name(op.kind));
  for (const TextField& field : kTexts)
    if (op.*field.member != defaults.*field.member)
      line += fmt::format(" {}={}", field.key, quote(op.*field.member));
  for (const NumberField& field : kNumbers)
    if (op.*field.member != defaults.*field.member)
      line += fmt::format(" {}={}", field.key, number_text(op.*field.member, field.base));
  return line;
}

Outcome<Op> parse_op(std::string_view line) {
  LAYERFS_TRY_ASSIGN(const std::vector<Word> words, split_words(line));
  if (words.empty()) return refuse("an empty line is no operation", EINVAL);
  Op op;
  size_t kind = 0;
  while (kind < kKindNames.size() && words[0].key != kKindNames[kind]) ++kind;
  if (kind == kKindNames.size())
    return refuse(fmt::format("there is no operation {}", quote(words[0].key)), EINVAL);
  op.kind = static_cast<OpKind>(kind);
  for (size_t i = 1; i < words.size(); ++i) LAYERFS_TRY(assign(op, words[i]));
  return op;
}

}  // namespace layerfs::oracle
