// Operations on attributes and xattrs.
#include <fcntl.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstdlib>
#include <set>

#include <fmt/format.h>

#include "tests/oracle/runner.h"
#include "tests/oracle/snapshot.h"
#include "tests/oracle/text.h"

namespace layerfs::oracle {
namespace {

constexpr size_t kXattrRoom = 65536;

timespec parse_time(const std::string& text) {
  if (text == "now") return {0, UTIME_NOW};
  if (text.empty() || text == "omit") return {0, UTIME_OMIT};
  const size_t dot = text.find('.');
  timespec time = {std::strtoll(text.c_str(), nullptr, 10), 0};
  if (dot != std::string::npos) time.tv_nsec = std::strtol(text.c_str() + dot + 1, nullptr, 10);
  return time;
}

std::string describe_value(ssize_t size, const std::string& buffer) {
  if (size < 0) return errno_name(errno);
  return "ok value=" + quote(std::string_view(buffer).substr(0, static_cast<size_t>(size)));
}

std::string describe_names(ssize_t size, const std::string& buffer) {
  if (size < 0) return errno_name(errno);
  std::set<std::string> names;
  for (size_t at = 0; at < static_cast<size_t>(size);) {
    const std::string name(buffer.c_str() + at);
    at += name.size() + 1;
    names.insert(name);
  }
  std::string result = "ok";
  for (const std::string& name : names) result += " " + quote(name);
  return result;
}

uid_t uid_of(const Op& op) { return static_cast<uid_t>(op.uid); }
gid_t gid_of(const Op& op) { return static_cast<gid_t>(op.gid); }
mode_t mode_of(const Op& op) { return static_cast<mode_t>(op.mode); }

}  // namespace

std::string Runner::describe(const struct stat& st) {
  const auto [alias, is_new] = aliases_.try_emplace(st.st_ino, next_alias_);
  if (is_new) ++next_alias_;
  std::string result =
      fmt::format("ok type={:o} mode={:04o} uid={} gid={} ino={}", st.st_mode >> 12,
                  st.st_mode & 07777, st.st_uid, st.st_gid, alias->second);
  result += " mtime=" + time_text(st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
  // What is left out for directories, and why: see snapshot.h.
  if (!S_ISDIR(st.st_mode))
    result +=
        fmt::format(" atime={} size={} nlink={}", time_text(st.st_atim.tv_sec, st.st_atim.tv_nsec),
                    st.st_size, st.st_nlink);
  if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode))
    result += fmt::format(" rdev={}:{}", major(st.st_rdev), minor(st.st_rdev));
  return result;
}

std::string Runner::stat(const Op& op) {
  struct stat st = {};
  const int result = ::fstatat(AT_FDCWD, op.path.c_str(), &st, static_cast<int>(op.flags));
  return result == 0 ? describe(st) : errno_name(errno);
}

std::string Runner::fstat(const Op& op) {
  struct stat st = {};
  return ::fstat(slot(op.slot), &st) == 0 ? describe(st) : errno_name(errno);
}

std::string Runner::chmod(const Op& op) { return outcome(::chmod(op.path.c_str(), mode_of(op))); }

std::string Runner::fchmod(const Op& op) { return outcome(::fchmod(slot(op.slot), mode_of(op))); }

std::string Runner::chown(const Op& op) {
  return outcome(::chown(op.path.c_str(), uid_of(op), gid_of(op)));
}

std::string Runner::lchown(const Op& op) {
  return outcome(::lchown(op.path.c_str(), uid_of(op), gid_of(op)));
}

std::string Runner::fchown(const Op& op) {
  return outcome(::fchown(slot(op.slot), uid_of(op), gid_of(op)));
}

std::string Runner::utimens(const Op& op) {
  const timespec times[2] = {parse_time(op.atime), parse_time(op.mtime)};
  return outcome(::utimensat(AT_FDCWD, op.path.c_str(), times, static_cast<int>(op.flags)));
}

std::string Runner::futimens(const Op& op) {
  const timespec times[2] = {parse_time(op.atime), parse_time(op.mtime)};
  return outcome(::futimens(slot(op.slot), times));
}

std::string Runner::setxattr(const Op& op) {
  return outcome(::lsetxattr(op.path.c_str(), op.name.c_str(), op.value.data(), op.value.size(),
                             static_cast<int>(op.flags)));
}

std::string Runner::fsetxattr(const Op& op) {
  return outcome(::fsetxattr(slot(op.slot), op.name.c_str(), op.value.data(), op.value.size(),
                             static_cast<int>(op.flags)));
}

std::string Runner::getxattr(const Op& op) {
  std::string buffer(kXattrRoom, '\0');
  return describe_value(::lgetxattr(op.path.c_str(), op.name.c_str(), buffer.data(), buffer.size()),
                        buffer);
}

std::string Runner::fgetxattr(const Op& op) {
  std::string buffer(kXattrRoom, '\0');
  return describe_value(::fgetxattr(slot(op.slot), op.name.c_str(), buffer.data(), buffer.size()),
                        buffer);
}

std::string Runner::removexattr(const Op& op) {
  return outcome(::lremovexattr(op.path.c_str(), op.name.c_str()));
}

std::string Runner::fremovexattr(const Op& op) {
  return outcome(::fremovexattr(slot(op.slot), op.name.c_str()));
}

std::string Runner::listxattr(const Op& op) {
  std::string buffer(kXattrRoom, '\0');
  return describe_names(::llistxattr(op.path.c_str(), buffer.data(), buffer.size()), buffer);
}

std::string Runner::flistxattr(const Op& op) {
  std::string buffer(kXattrRoom, '\0');
  return describe_names(::flistxattr(slot(op.slot), buffer.data(), buffer.size()), buffer);
}

std::string Runner::access(const Op& op) {
  return outcome(::faccessat(AT_FDCWD, op.path.c_str(), static_cast<int>(op.mode),
                             static_cast<int>(op.flags)));
}

std::string Runner::statfs(const Op& op) {
  struct statvfs st = {};
  if (::statvfs(op.path.c_str(), &st) != 0) return errno_name(errno);
  return fmt::format("ok namemax={} bsize={} frsize={} blocks={} readonly={}", st.f_namemax,
                     st.f_bsize, st.f_frsize, st.f_blocks, (st.f_flag & ST_RDONLY) != 0);
}

}  // namespace layerfs::oracle
