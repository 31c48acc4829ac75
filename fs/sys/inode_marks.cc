#include "fs/sys/inode_marks.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "fs/sys/file.h"

namespace layerfs::sys {
namespace {

bool keeps_no_marks(Errno error) {
  // EINVAL is what ntfs-3g says.
  for (const int code : {ENOTTY, EOPNOTSUPP, EINVAL})
    if (error == Errno(code)) return true;
  return false;
}

Result<int> flags_of(int fd) {
  int flags = 0;
  if (::ioctl(fd, FS_IOC_GETFLAGS, &flags) != 0) return fail(Errno::last());
  return flags;
}

Result<UniqueFd> open_for_marks(const At& at, mode_t type) {
  const int flags = O_RDONLY | (S_ISDIR(type) ? O_DIRECTORY : 0);
  return at.is_entry() ? open_beneath(at.fd, at.name, flags) : reopen(at.fd, flags);
}

}  // namespace

Result<InodeMarks> inode_marks(int fd) {
  const auto flags = flags_of(fd);
  if (!flags && keeps_no_marks(flags.error())) return InodeMarks{};
  if (!flags) return fail(flags.error());
  return InodeMarks{.immutable = (*flags & FS_IMMUTABLE_FL) != 0,
                    .append_only = (*flags & FS_APPEND_FL) != 0,
                    .sync = (*flags & FS_SYNC_FL) != 0,
                    .no_atime = (*flags & FS_NOATIME_FL) != 0};
}

Result<void> add_inode_marks(int fd, const InodeMarks& marks) {
  LAYERFS_TRY_ASSIGN(int flags, flags_of(fd));
  if (marks.sync) flags |= FS_SYNC_FL;
  if (marks.no_atime) flags |= FS_NOATIME_FL;
  if (::ioctl(fd, FS_IOC_SETFLAGS, &flags) != 0) return fail(Errno::last());
  return {};
}

Result<InodeMarks> holding_marks(const At& at) {
  struct statx st;
  if (::statx(at.fd, at.name, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, STATX_TYPE, &st) != 0)
    return fail(Errno::last());
  InodeMarks marks{.immutable = (st.stx_attributes & STATX_ATTR_IMMUTABLE) != 0,
                   .append_only = (st.stx_attributes & STATX_ATTR_APPEND) != 0};
  if (!marks.immutable && !marks.append_only) return marks;
  if (!S_ISREG(st.stx_mode) && !S_ISDIR(st.stx_mode)) return InodeMarks{};
  const auto fd = open_for_marks(at, st.stx_mode);
  // Who may not even read the file changes nothing but its attributes: the report has to do.
  if (!fd && fd.error() == Errno(EACCES)) return marks;
  if (!fd) return fail(fd.error());
  LAYERFS_TRY_ASSIGN(marks, inode_marks(fd->get()));
  marks.sync = marks.no_atime = false;
  return marks;
}

}  // namespace layerfs::sys
