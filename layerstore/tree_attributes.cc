#include "layerstore/tree_attributes.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>

#include <fmt/format.h>

#include "layerstore/file_util.h"
#include "layerstore/quote.h"

namespace layerfs::store {

namespace {

constexpr std::size_t kHole = 32 << 10;
// Below this many ids a user namespace cannot hold an image's owners.
constexpr unsigned long kEnoughIds = 65536;

bool all_zero(std::span<const std::byte> bytes) {
  return bytes[0] == std::byte{0} && std::equal(bytes.begin(), bytes.end() - 1, bytes.begin() + 1);
}

// The number of user ids from 0 on that this process' user namespace has.
unsigned long mapped_ids() {
  std::ifstream map("/proc/self/uid_map");
  unsigned long next = 0, inside = 0, outside = 0, count = 0;
  while (map >> inside >> outside >> count && inside == next) next += count;
  return next;
}

bool in_initial_user_namespace() {
  std::ifstream map("/proc/self/uid_map");
  unsigned long inside = 0, outside = 0, count = 0;
  return map >> inside >> outside >> count && outside == 0 && count >= 0xffffffffUL;
}

// Calls set(name, value), which returns an errno or 0, for each xattr.
template <typename Set>
Outcome<void> set_xattrs(const Attributes& attributes, const TreeFormat& format,
                         const layer::XattrNames& names, std::uint64_t& skipped, Set set) {
  for (const auto& [name, value] : attributes.xattrs) {
    const Result<std::string> on_disk = names.on_disk(name);
    const int error = on_disk ? set(on_disk->c_str(), value) : on_disk.error().code();
    if (error == 0) continue;
    const bool unprivileged = error == EPERM && format.ownership == Ownership::kRecorded;
    if (unprivileged || error == EOPNOTSUPP) {
      ++skipped;
    } else {
      return refuse("cannot set its extended attribute " + quote(name), Errno(error));
    }
  }
  return {};
}

mode_t mode_on_disk(const Attributes& attributes, mode_t type, const TreeFormat& format) {
  if (format.ownership == Ownership::kReal) return attributes.mode & 07777;
  return (attributes.mode & 0777) | (type == S_IFDIR ? 0700 : 0600);
}

Outcome<void> record(int fd, const Attributes& attributes) {
  const std::string value =
      fmt::format("{}:{}:0{:o}", attributes.uid, attributes.gid, attributes.mode & 07777);
  if (::fsetxattr(fd, kOverrideStat, value.data(), value.size(), 0) == 0) return {};
  return refuse(std::string("cannot record its owner (") + kOverrideStat + ")", Errno::last());
}

}  // namespace

std::string proc_path(int fd) { return "/proc/self/fd/" + std::to_string(fd); }
std::string proc_path(int fd, std::string_view name) {
  return proc_path(fd) + "/" + std::string(name);
}

TreeFormat TreeFormat::for_this_process() {
  const bool initial = in_initial_user_namespace();
  TreeFormat format;
  format.user_xattr = ::geteuid() != 0 || !initial;
  const bool owners = ::geteuid() == 0 && (initial || mapped_ids() >= kEnoughIds);
  format.ownership = owners ? Ownership::kReal : Ownership::kRecorded;
  return format;
}

Outcome<void> set_attributes(int fd, const Attributes& attributes, mode_t type,
                             const TreeFormat& format, const layer::XattrNames& names,
                             std::uint64_t& skipped) {
  if (format.ownership == Ownership::kReal) {
    if (::fchown(fd, attributes.uid, attributes.gid) != 0) {
      return refuse("cannot set its owner", Errno::last());
    }
  } else {
    LAYERFS_TRY(record(fd, attributes));
  }
  if (::fchmod(fd, mode_on_disk(attributes, type, format)) != 0) {
    return refuse("cannot set its mode", Errno::last());
  }
  LAYERFS_TRY(set_xattrs(attributes, format, names, skipped,
                         [fd](const char* name, const std::string& value) {
                           const int status = ::fsetxattr(fd, name, value.data(), value.size(), 0);
                           return status == 0 ? 0 : errno;
                         }));
  const timespec times[2] = {attributes.atime, attributes.mtime};
  if (::futimens(fd, times) != 0) return refuse("cannot set its times", Errno::last());
  return {};
}

Outcome<void> set_attributes(int parent, const std::string& name, const Attributes& attributes,
                             mode_t type, const TreeFormat& format, const layer::XattrNames& names,
                             std::uint64_t& skipped) {
  const char* entry = name.c_str();
  if (format.ownership == Ownership::kReal &&
      ::fchownat(parent, entry, attributes.uid, attributes.gid, AT_SYMLINK_NOFOLLOW) != 0) {
    return refuse("cannot set its owner", Errno::last());
  }
  if (type != S_IFLNK &&
      ::fchmodat(parent, entry, mode_on_disk(attributes, type, format), 0) != 0) {
    return refuse("cannot set its mode", Errno::last());
  }
  LAYERFS_TRY(set_xattrs(
      attributes, format, names, skipped, [&](const char* xattr, const std::string& value) {
        const int status =
            ::lsetxattr(proc_path(parent, name).c_str(), xattr, value.data(), value.size(), 0);
        return status == 0 ? 0 : errno;
      }));
  const timespec times[2] = {attributes.atime, attributes.mtime};
  if (::utimensat(parent, entry, times, AT_SYMLINK_NOFOLLOW) != 0) {
    return refuse("cannot set its times", Errno::last());
  }
  return {};
}

Result<void> NewFile::write(std::span<const std::byte> data, std::uint64_t offset) {
  // Most files are smaller than a hole is worth.
  while (data.size() >= kHole) {
    std::size_t plain = 0;
    while (data.size() - plain >= kHole && !all_zero(data.subspan(plain, kHole))) plain += kHole;
    if (data.size() - plain < kHole) break;
    LAYERFS_TRY(write_plain(data.first(plain), offset));
    data = data.subspan(plain + kHole);
    offset += plain + kHole;
  }
  return write_plain(data, offset);
}

Result<void> NewFile::write_plain(std::span<const std::byte> data, std::uint64_t offset) {
  while (!data.empty()) {
    const ssize_t written =
        ::pwrite(fd_.get(), data.data(), data.size(), static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return fail(errno);
    data = data.subspan(static_cast<std::size_t>(written));
    offset += static_cast<std::uint64_t>(written);
  }
  return {};
}

}  // namespace layerfs::store
