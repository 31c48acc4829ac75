#include "fs/sys/xattr.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstdint>

#include "fs/sys/file.h"

// Since Linux 6.13, with the same number on every architecture; not in the headers of older ones.
#ifndef SYS_setxattrat
#define SYS_setxattrat 463
#define SYS_getxattrat 464
#define SYS_listxattrat 465
#define SYS_removexattrat 466
#endif

namespace layerfs::sys {
namespace {

// struct xattr_args of <linux/xattr.h>.
struct alignas(8) Value {
  std::uint64_t data;
  std::uint32_t size;
  std::uint32_t flags;
};

// Whether an xattr can be asked for by a directory and a name. Where it can't (or a filter of
// system calls has not heard of it), it goes by a path through /proc, which costs four times as
// much.
bool has_at_calls() {
  static const bool has = [] {
    Value none = {};
    const long got = ::syscall(SYS_getxattrat, AT_FDCWD, "/", 0, "user.", &none, sizeof none);
    return got >= 0 || (errno != ENOSYS && errno != EPERM);
  }();
  return has;
}

// Calls that know descriptors refuse those that are O_PATH.
bool is_path_only(long status) { return status < 0 && errno == EBADF; }

// Such a descriptor of a directory has an entry that is itself; of anything else `call` fails with
// ENOTDIR, and false is returned.
template <typename Call>
bool by_own_entry(long& status, const Call& call) {
  if (!has_at_calls()) return false;
  status = call(".");
  return status >= 0 || errno != ENOTDIR;
}

std::string path_of(const At& at) {
  return at.is_entry() ? fd_path(at.fd, at.name) : fd_path(at.fd);
}

long get_at(int dirfd, const char* entry, const char* name, void* data, std::size_t size) {
  Value value = {reinterpret_cast<std::uintptr_t>(data), static_cast<std::uint32_t>(size), 0};
  return ::syscall(SYS_getxattrat, dirfd, entry, AT_SYMLINK_NOFOLLOW, name, &value, sizeof value);
}

long list_at(int dirfd, const char* entry, char* data, std::size_t size) {
  return ::syscall(SYS_listxattrat, dirfd, entry, AT_SYMLINK_NOFOLLOW, data, size);
}

long get(const At& at, const char* name, void* data, std::size_t size) {
  if (!at.is_entry()) {
    long got = ::fgetxattr(at.fd, name, data, size);
    if (!is_path_only(got)) return got;
    if (by_own_entry(got, [&](const char* self) { return get_at(at.fd, self, name, data, size); }))
      return got;
    return ::getxattr(path_of(at).c_str(), name, data, size);
  }
  if (!has_at_calls()) return ::lgetxattr(path_of(at).c_str(), name, data, size);
  return get_at(at.fd, at.name, name, data, size);
}

long set(const At& at, const char* name, std::string_view data, int flags) {
  if (!at.is_entry()) {
    const int done = ::fsetxattr(at.fd, name, data.data(), data.size(), flags);
    return is_path_only(done)
               ? ::setxattr(path_of(at).c_str(), name, data.data(), data.size(), flags)
               : done;
  }
  if (!has_at_calls())
    return ::lsetxattr(path_of(at).c_str(), name, data.data(), data.size(), flags);
  const Value value = {reinterpret_cast<std::uintptr_t>(data.data()),
                       static_cast<std::uint32_t>(data.size()), static_cast<std::uint32_t>(flags)};
  return ::syscall(SYS_setxattrat, at.fd, at.name, AT_SYMLINK_NOFOLLOW, name, &value, sizeof value);
}

long remove(const At& at, const char* name) {
  if (!at.is_entry()) {
    const int done = ::fremovexattr(at.fd, name);
    return is_path_only(done) ? ::removexattr(path_of(at).c_str(), name) : done;
  }
  if (!has_at_calls()) return ::lremovexattr(path_of(at).c_str(), name);
  return ::syscall(SYS_removexattrat, at.fd, at.name, AT_SYMLINK_NOFOLLOW, name);
}

long list(const At& at, char* data, std::size_t size) {
  if (!at.is_entry()) {
    long got = ::flistxattr(at.fd, data, size);
    if (!is_path_only(got)) return got;
    if (by_own_entry(got, [&](const char* self) { return list_at(at.fd, self, data, size); }))
      return got;
    return ::listxattr(path_of(at).c_str(), data, size);
  }
  if (!has_at_calls()) return ::llistxattr(path_of(at).c_str(), data, size);
  return list_at(at.fd, at.name, data, size);
}

// Runs a size-probing xattr call until the value fits.
template <typename Call>
Result<std::string> read_value(Call call) {
  char small[256];
  long length = call(small, sizeof small);
  if (length >= 0) return std::string(small, static_cast<std::size_t>(length));
  std::string value;
  for (;;) {
    if (errno != ERANGE) return fail(Errno::last());
    const long needed = call(nullptr, 0);
    if (needed < 0) return fail(Errno::last());
    value.resize(static_cast<std::size_t>(needed) + 64);
    length = call(value.data(), value.size());
    if (length < 0) continue;
    value.resize(static_cast<std::size_t>(length));
    return value;
  }
}

}  // namespace

Result<std::string> get_xattr(const At& at, const std::string& name) {
  return read_value(
      [&](char* data, std::size_t size) { return get(at, name.c_str(), data, size); });
}

Result<std::optional<std::string>> find_xattr(const At& at, const std::string& name) {
  auto value = get_xattr(at, name);
  if (value) return std::optional(std::move(*value));
  if (value.error() == Errno(ENODATA) || value.error() == Errno(EOPNOTSUPP)) return std::nullopt;
  return fail(value.error());
}

Result<void> set_xattr(const At& at, const std::string& name, std::string_view value, int flags) {
  if (set(at, name.c_str(), value, flags) != 0) return fail(Errno::last());
  return {};
}

Result<void> remove_xattr(const At& at, const std::string& name) {
  if (remove(at, name.c_str()) != 0) return fail(Errno::last());
  return {};
}

Result<void> drop_inherited(int fd, mode_t mode) {
  for (const char* acl : {"system.posix_acl_default", "system.posix_acl_access"}) {
    const auto removed = remove_xattr(At(fd), acl);
    const bool absent =
        !removed && (removed.error() == Errno(ENODATA) || removed.error() == Errno(EOPNOTSUPP));
    if (!removed && !absent) return removed;
  }
  // Last: the entry of an ACL that was the group's stays the group's bits.
  if (::fchmod(fd, mode) != 0) return fail(Errno::last());
  return {};
}

Result<std::string> list_xattr(const At& at) {
  auto names = read_value([&](char* data, std::size_t size) { return list(at, data, size); });
  if (!names && names.error() == Errno(EOPNOTSUPP)) return std::string();
  return names;
}

std::vector<std::string> split_xattrs(const std::string& list) {
  std::vector<std::string> names;
  for (std::size_t at = 0; at < list.size(); at += names.back().size() + 1)
    names.emplace_back(list.c_str() + at);
  return names;
}

}  // namespace layerfs::sys
