#include "tests/oracle/compare.h"

#include <unistd.h>

#include <algorithm>
#include <functional>

#include <fmt/format.h>

#include "tests/oracle/text.h"

namespace layerfs::oracle {
namespace {

constexpr std::string_view kTreeResult = "tree\n";

struct Range {
  int64_t from;
  int64_t to;
};

// Reads "FROM-TO,FROM-TO"; anything else is no range.
std::vector<Range> parse_ranges(std::string_view text) {
  std::vector<Range> ranges;
  while (!text.empty()) {
    const std::string part(text.substr(0, text.find(',')));
    text.remove_prefix(std::min(part.size() + 1, text.size()));
    const size_t dash = part.find('-');
    if (dash == std::string::npos) return {};
    ranges.push_back({std::stoll(part), std::stoll(part.substr(dash + 1))});
  }
  return ranges;
}

// Whether each of `inner` lies in one of `outer`.
bool covers(std::string_view outer, std::string_view inner) {
  const std::vector<Range> within = parse_ranges(outer);
  const std::vector<Range> ranges = parse_ranges(inner);
  if (ranges.empty()) return inner == "none";
  return std::all_of(ranges.begin(), ranges.end(), [&](const Range& range) {
    return std::any_of(within.begin(), within.end(), [&](const Range& other) {
      return other.from <= range.from && range.to <= other.to;
    });
  });
}

// Every difference that is tolerated, with its reason. `all` are the subject's other fields of the
// same name.
bool tolerated(const Case& test, const Difference& difference, const Fields& all) {
  const std::string& field = difference.field;
  auto has = [&](const char* key, const char* value) {
    const auto found = all.find(key);
    return found != all.end() && found->second == value;
  };
  // The kernel lists the whiteouts of a directory that it has no reason to merge; they cannot be
  // looked up. A subject that hides them is right.
  if (field == "phantoms" || field == "phantom") return difference.got.empty();
  if (field == "missed") return difference.got == "0";
  // A mapping that the kernel makes of a descriptor from before a copy-up shows the old data, or
  // faults. One that shows what read(2) reads is right.
  if (field == "mapping") return difference.got.empty();
  // The kernel's d_ino is that of the layer where it need not look further. One that always agrees
  // with st_ino is right.
  if (field == "dino") return difference.got.empty();
  // The kernel counts lower names that other layers hide, and the last name of a lower file that
  // is open and deleted. A subject may count what is there.
  if (field == "nlink") {
    if (difference.where == kind_name(OpKind::kFstat) && difference.got == "0") return true;
    const auto names = all.find("names");
    return difference.got == (names == all.end() ? "1" : names->second);
  }
  // The end of a directory is where the file system that answers has it: ext4 beyond all hashes,
  // FUSE at st_size.
  if (field == "at" && difference.where == kind_name(OpKind::kSeek))
    return difference.expected == std::to_string(INT64_MAX);
  // The kernel's copy-up fills small holes. A subject may keep them: the bytes are the same.
  if (field == "holes") return covers(difference.expected, difference.got);
  // When the kernel copies up the data of a file whose metadata it has copied before, the time of
  // the copying becomes its mtime. Cases with metacopy=off hold the subject to the rest.
  if (field == "mtime" && difference.expected == "now")
    return test.options.find("metacopy=on") != std::string::npos &&
           (has("type", "file") || has("type", "10"));
  // Symlinks and special files have no user xattrs: without trusted ones the kernel has nowhere to
  // write down which lower file they were, and gives them new numbers at their copy-up.
  if (test.userxattr() && (field == "link" || field == "names"))
    return all.count("type") != 0 && !has("type", "file");
  return false;
}

using Accept = std::function<bool(const Difference&, const Fields& got)>;

void compare_fields(const std::string& where, const Fields& expected, const Fields& got,
                    const Accept& accept, std::vector<Difference>& out) {
  auto add = [&](Difference difference) {
    if (!accept(difference, got)) out.push_back(std::move(difference));
  };
  for (const auto& [field, value] : expected) {
    const auto other = got.find(field);
    if (other == got.end())
      add({where, field, value.empty() ? "\"\"" : value, ""});
    else if (other->second != value)
      add({where, field, value, other->second});
  }
  for (const auto& [field, value] : got)
    if (expected.count(field) == 0) add({where, field, "", value.empty() ? "\"\"" : value});
}

std::vector<Difference> compare_all(const Snapshot& expected, const Snapshot& got,
                                    const Accept& accept) {
  auto type = [](const Fields& fields) {
    const auto found = fields.find("type");
    return found == fields.end() ? "?" : found->second;
  };
  std::vector<Difference> out;
  for (const auto& [path, fields] : expected) {
    const auto other = got.find(path);
    if (other == got.end())
      out.push_back({path, "name", type(fields), ""});
    else
      compare_fields(path, fields, other->second, accept, out);
  }
  for (const auto& [path, fields] : got)
    if (expected.count(path) == 0) out.push_back({path, "name", "", type(fields)});
  return out;
}

// The words of a result as fields; the first word, ok or an errno, is the field "result".
Fields result_fields(const std::string& result) {
  Fields fields;
  const Outcome<std::vector<Word>> words = split_words(result);
  if (!words || words->empty()) return {{"result", result}};
  fields["result"] = words->front().key;
  for (size_t i = 1; i < words->size(); ++i)
    fields[(*words)[i].key == "phantom" ? "phantom" : (*words)[i].key] += (*words)[i].value;
  return fields;
}

// Holes that the subject has kept and the kernel has filled: data begins later, a hole earlier.
bool sees_more_holes(const Op& op, const std::string& expected, const std::string& got) {
  const Fields one = result_fields(expected);
  const Fields other = result_fields(got);
  if (one.count("at") == 0) return false;
  if (op.flags == SEEK_DATA && other.at("result") == "ENXIO") return true;
  if (other.count("at") == 0) return false;
  const int64_t kernel = std::stoll(one.at("at"));
  const int64_t subject = std::stoll(other.at("at"));
  return op.flags == SEEK_DATA ? subject >= kernel
                               : op.flags == SEEK_HOLE && subject >= op.off && subject <= kernel;
}

}  // namespace

std::string to_text(const Difference& difference) {
  auto side = [](const std::string& value) { return value.empty() ? "nothing" : quote(value); };
  return fmt::format("{}: {}: expected {}, got {}", quote(difference.where), difference.field,
                     side(difference.expected), side(difference.got));
}

std::vector<Difference> compare_exactly(const Snapshot& expected, const Snapshot& got) {
  return compare_all(expected, got, [](const Difference&, const Fields&) { return false; });
}

std::vector<Difference> compare_trees(const Case& test, const Snapshot& expected,
                                      const Snapshot& got) {
  return compare_all(expected, got, [&](const Difference& difference, const Fields& all) {
    return tolerated(test, difference, all);
  });
}

std::vector<Difference> compare_results(const Case& test, const Op& op, const std::string& expected,
                                        const std::string& got) {
  if (expected == got) return {};
  if (expected.starts_with(kTreeResult) && got.starts_with(kTreeResult)) {
    const Outcome<Snapshot> one = parse_snapshot(expected.substr(kTreeResult.size()));
    const Outcome<Snapshot> other = parse_snapshot(got.substr(kTreeResult.size()));
    if (one && other) return compare_trees(test, *one, *other);
  }
  if (op.kind == OpKind::kSeek && sees_more_holes(op, expected, got)) return {};
  std::vector<Difference> out;
  compare_fields(
      std::string(kind_name(op.kind)), result_fields(expected), result_fields(got),
      [&](const Difference& difference, const Fields& all) {
        return tolerated(test, difference, all);
      },
      out);
  return out;
}

namespace {

size_t longest_path(const Case& test) {
  size_t longest = 0;
  for (const auto& layer : test.layers)
    for (const auto& entry : layer) longest = std::max(longest, entry.path.size());
  return longest;
}

}  // namespace

bool yardstick_declines(const Case& test, const Op& op, const std::string& result) {
  // A redirect has room for a path of redirect_max (256) bytes; the kernel renames no lower
  // directory and links no lower file where it would be longer.
  constexpr size_t kLongPaths = 200;
  // The path is that of the lower file, whatever it is called now.
  if (result == "EXDEV")
    return op.path.size() + op.path2.size() > kLongPaths || longest_path(test) > kLongPaths;
  // It cannot copy up a lower file or directory whose last name is gone, through a descriptor.
  const bool by_descriptor = op.slot >= 0 && op.path2.empty() && op.path.empty();
  if (by_descriptor && result == "EEXIST") return true;
  if (by_descriptor && (result == "ENOTDIR" || result == "ENOTEMPTY") && op.kind != OpKind::kList)
    return true;
  // An ACL that is not there can be removed from the upper and not from a lower layer, and whether
  // an operation that failed has copied up before is nobody's promise.
  if (op.kind == OpKind::kRemovexattr && op.name.starts_with("system.posix_acl_"))
    return result == "ENODATA";
  // A chown that changes nobody clears setuid on its way. With FUSE the kernel does not ask whether
  // the caller may; what then reaches the daemon looks like a write by somebody who may.
  if (op.uid == -1 && op.gid == -1 && result == "EPERM")
    return op.kind == OpKind::kChown || op.kind == OpKind::kLchown || op.kind == OpKind::kFchown;
  // The VFS seeks in a directory of FUSE, and asks the lower file system in one of overlayfs.
  if (op.kind == OpKind::kSeek) return result == "EINVAL";
  // The kernel takes an xattr whiteout for a file in a directory that it has no reason to merge.
  return result == "ENOTEMPTY" && test.encoding == Encoding::kXattr;
}

}  // namespace layerfs::oracle
