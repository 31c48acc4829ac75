#include "fs/sys/mount.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <cstdint>
#include <fstream>
#include <sstream>
#include <string>

namespace layerfs::sys {

namespace {

Result<UniqueFd> open_clone_with(const char* path, std::uint64_t attributes) {
  UniqueFd tree(static_cast<int>(
      ::syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC)));
  if (!tree) return fail(Errno::last());
  mount_attr attr = {};
  attr.attr_set = attributes | MOUNT_ATTR_NODIRATIME;
  attr.attr_clr = MOUNT_ATTR__ATIME;
  attr.propagation = 0;
  if (::syscall(SYS_mount_setattr, tree.get(), "", AT_EMPTY_PATH, &attr, sizeof attr) != 0)
    return fail(Errno::last());
  return tree;
}

std::uint64_t attribute_of(Atime atime) {
  switch (atime) {
    case Atime::kNever:
      return MOUNT_ATTR_NOATIME;
    case Atime::kAlways:
      return MOUNT_ATTR_STRICTATIME;
    case Atime::kRelative:
      break;
  }
  return MOUNT_ATTR_RELATIME;
}

}  // namespace

Result<UniqueFd> open_read_only_clone(const char* path) {
  return open_clone_with(path, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOATIME);
}

Result<UniqueFd> open_clone(const char* path, Atime atime) {
  return open_clone_with(path, attribute_of(atime));
}

bool is_idmapped(const char* path) {
  struct statx st;
  if (::statx(AT_FDCWD, path, 0, STATX_MNT_ID, &st) != 0) return false;
  const std::string id = std::to_string(st.stx_mnt_id);
  std::ifstream mounts("/proc/self/mountinfo");
  for (std::string line; std::getline(mounts, line);) {
    // ID PARENT MAJOR:MINOR ROOT MOUNTPOINT OPTIONS ...
    std::istringstream words(line);
    std::string own, skipped, options;
    words >> own;
    if (own != id) continue;
    for (int i = 0; i < 4; ++i) words >> skipped;
    words >> options;
    return ("," + options + ",").find(",idmapped,") != std::string::npos;
  }
  return false;
}

}  // namespace layerfs::sys
