#include "fs/sys/mount.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <fstream>
#include <sstream>
#include <string>

namespace layerfs::sys {

Result<UniqueFd> open_read_only_clone(const char* path) {
  UniqueFd tree(static_cast<int>(
      ::syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC)));
  if (!tree) return fail(Errno::last());
  mount_attr attr = {};
  attr.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOATIME;
  attr.attr_clr = MOUNT_ATTR__ATIME;
  attr.propagation = 0;
  if (::syscall(SYS_mount_setattr, tree.get(), "", AT_EMPTY_PATH, &attr, sizeof attr) != 0)
    return fail(Errno::last());
  return tree;
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
