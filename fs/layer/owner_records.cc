#include "fs/layer/owner_records.h"

#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <string>
#include <vector>

#include "fs/sys/quote.h"
#include "fs/sys/xattr.h"

namespace layerfs::layer {
namespace {

constexpr mode_t kPermissions = 07777;

constexpr std::string_view kIgnoredRecords =
    "the owners recorded in user. attributes do not count, for whoever owns a file can write them; "
    "xattr_permissions=2 asks for them";

// Takes the part before the next `divider`, or all.
std::string_view take(std::string_view& text, char divider) {
  const std::size_t end = text.find(divider);
  const std::string_view part = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return part;
}

std::optional<std::uint32_t> number(std::string_view text, int base) {
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

struct TypeName {
  std::string_view name;
  mode_t type;
};
constexpr std::array<TypeName, 7> kTypes = {{{"file", S_IFREG},
                                             {"dir", S_IFDIR},
                                             {"symlink", S_IFLNK},
                                             {"pipe", S_IFIFO},
                                             {"socket", S_IFSOCK},
                                             {"block", S_IFBLK},
                                             {"char", S_IFCHR}}};

bool is_special(mode_t type) { return type != S_IFREG && type != S_IFDIR && type != S_IFLNK; }
bool is_device(mode_t type) { return type == S_IFBLK || type == S_IFCHR; }

// "dir", "char-1-3": false if it is none.
bool parse_type(std::string_view text, OwnerRecord& record) {
  const std::string_view name = take(text, '-');
  const auto* known = std::find_if(kTypes.begin(), kTypes.end(),
                                   [&](const TypeName& type) { return type.name == name; });
  if (known == kTypes.end()) return false;
  record.type = known->type;
  if (!is_device(known->type)) return text.empty();
  const auto major = number(take(text, '-'), 10);
  const auto minor = number(text, 10);
  if (!major || !minor) return false;
  record.rdev = makedev(*major, *minor);
  return true;
}

// Whether a namespace with these ids has more than one.
bool has_others(const sys::IdSpans& spans) {
  return spans.size() > 1 || (spans.size() == 1 && spans.front().count > 1);
}

void apply(const OwnerRecord& record, struct stat& st) {
  st.st_uid = record.uid;
  st.st_gid = record.gid;
  const mode_t own = st.st_mode & S_IFMT;
  // A file may stand for what could not be made, a whiteout apart; else the inode tells the type.
  const bool stands_for = own == S_IFREG && record.type && is_special(*record.type) &&
                          !(*record.type == S_IFCHR && record.rdev == makedev(0, 0));
  st.st_mode = (stands_for ? *record.type : own) | record.mode;
  if (stands_for && is_device(*record.type)) st.st_rdev = record.rdev;
}

}  // namespace

std::optional<OwnerRecord> parse_record(std::string_view value) {
  const auto uid = number(take(value, ':'), 10);
  const auto gid = number(take(value, ':'), 10);
  const auto mode = number(take(value, ':'), 8);
  if (!uid || !gid || !mode) return std::nullopt;
  OwnerRecord record{*uid, *gid, *mode & kPermissions, std::nullopt, 0};
  if (!value.empty() && !parse_type(value, record)) return std::nullopt;
  return record;
}

std::string format_record(const OwnerRecord& record) {
  std::array<char, 16> mode{};
  const auto end = std::to_chars(mode.begin(), mode.end(), record.mode & kPermissions, 8).ptr;
  std::string text = std::to_string(record.uid) + ":" + std::to_string(record.gid) + ":0" +
                     std::string(mode.data(), end);
  if (!record.type) return text;
  for (const TypeName& type : kTypes)
    if (type.type == *record.type) text += ":" + std::string(type.name);
  if (is_device(*record.type))
    text += "-" + std::to_string(major(record.rdev)) + "-" + std::to_string(minor(record.rdev));
  return text;
}

RecordedOwners RecordedOwners::of_this_process(bool shown, bool asked) {
  return {shown, asked || !sys::is_privileged(), sys::namespace_users(), sys::namespace_groups()};
}

const char* OwnerRecords::xattr_of(RecordKind kind) {
  switch (kind) {
    case RecordKind::kPrivileged:
      return "security.fuseoverlayfs.override_stat";
    case RecordKind::kContainers:
      return "user.containers.override_stat";
    case RecordKind::kUser:
      return "user.fuseoverlayfs.override_stat";
    case RecordKind::kNone:
      break;
  }
  return "";
}

Result<RecordKind> OwnerRecords::find(const sys::At& root, const RecordedOwners& owners,
                                      const Reporter& reporter) {
  LAYERFS_TRY_ASSIGN(const std::string list, sys::list_xattr(root));
  if (list.empty()) return RecordKind::kNone;
  const std::vector<std::string> names = sys::split_xattrs(list);
  for (const RecordKind kind :
       {RecordKind::kPrivileged, RecordKind::kContainers, RecordKind::kUser}) {
    if (std::ranges::find(names, xattr_of(kind)) == names.end()) continue;
    if (kind == RecordKind::kPrivileged || owners.users_count) return kind;
    reporter.ignored(root, kIgnoredRecords);
  }
  return RecordKind::kNone;
}

bool OwnerRecords::can_hold(mode_t type) const {
  if (kind_ == RecordKind::kNone) return false;
  return kind_ == RecordKind::kPrivileged || S_ISREG(type) || S_ISDIR(type);
}

Result<struct stat> OwnerRecords::stored(const sys::At& at, struct stat real) const {
  if (!can_hold(real.st_mode)) return real;
  const auto value = sys::find_xattr(at, xattr_of(kind_));
  if (!value) return reporter_.failed(at, value.error(), "the record of its owner cannot be read");
  if (!*value) return real;
  const auto record = parse_record(**value);
  if (!record)
    return reporter_.failed(at, Errno(EIO),
                            "the record of its owner is not valid: " + sys::quote(**value));
  apply(*record, real);
  return real;
}

struct stat OwnerRecords::shown(struct stat stored) const {
  if (!any()) return stored;
  const bool has_user = sys::contains(owners_.users, stored.st_uid);
  const bool has_group = sys::contains(owners_.groups, stored.st_gid);
  // Where there are other users than the daemon's, setuid of one who does not exist here must not
  // become the daemon's.
  if (owners_.shown && S_ISREG(stored.st_mode)) {
    if (!has_user && has_others(owners_.users)) stored.st_mode &= ~mode_t{S_ISUID};
    if (!has_group && has_others(owners_.groups)) stored.st_mode &= ~mode_t{S_ISGID};
  }
  if (!owners_.shown || !has_user) stored.st_uid = ::geteuid();
  if (!owners_.shown || !has_group) stored.st_gid = ::getegid();
  return stored;
}

Result<void> OwnerRecords::change(const sys::At& at, const struct stat& real, uid_t uid, gid_t gid,
                                  std::optional<mode_t> mode) const {
  LAYERFS_TRY_ASSIGN(struct stat st, stored(at, real));
  if (uid != static_cast<uid_t>(-1)) st.st_uid = uid;
  if (gid != static_cast<gid_t>(-1)) st.st_gid = gid;
  if (mode) st.st_mode = (st.st_mode & S_IFMT) | (*mode & kPermissions);
  OwnerRecord record{st.st_uid, st.st_gid, st.st_mode & kPermissions, std::nullopt, 0};
  if ((st.st_mode & S_IFMT) != (real.st_mode & S_IFMT)) {
    record.type = st.st_mode & S_IFMT;
    record.rdev = st.st_rdev;
  }
  return sys::set_xattr(at, xattr_of(kind_), format_record(record));
}

Result<void> OwnerRecords::write(const sys::At& at, const struct stat& st) const {
  return sys::set_xattr(
      at, xattr_of(kind_),
      format_record({st.st_uid, st.st_gid, st.st_mode & kPermissions, std::nullopt, 0}));
}

mode_t OwnerRecords::mode_on_disk(mode_t mode) {
  return (mode & 0777) | (S_ISDIR(mode) ? 0700 : 0600);
}

}  // namespace layerfs::layer
