#include "fs/op/privileges.h"

#include <sys/stat.h>

#include "fs/sys/file.h"
#include "fs/sys/xattr.h"

namespace layerfs::op {

Result<void> drop_privileges(const std::string& path) {
  struct stat st;
  if (::stat(path.c_str(), &st) != 0) return fail(Errno::last());
  if (!S_ISREG(st.st_mode)) return {};
  mode_t mode = st.st_mode & 07777 & ~mode_t{S_ISUID};
  if ((mode & S_IXGRP) != 0) mode &= ~mode_t{S_ISGID};
  if (mode != (st.st_mode & 07777)) LAYERFS_TRY(sys::chmod_path(path, mode));
  auto removed = sys::remove_xattr(path, "security.capability");
  if (!removed && removed.error() != Errno(ENODATA) && removed.error() != Errno(EOPNOTSUPP))
    return removed;
  return {};
}

}  // namespace layerfs::op
