#include "fs/sys/mount.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sys/syscall.h>

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

}  // namespace layerfs::sys
