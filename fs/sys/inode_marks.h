// Marks of chattr(1). Thread-safe; every failure is its errno.
#pragma once

#include "fs/sys/at.h"
#include "fs/sys/result.h"

namespace layerfs::sys {

struct InodeMarks {
  bool immutable = false;  // these two hold changes up, root's too
  bool append_only = false;
  bool sync = false;
  bool no_atime = false;
};

// The marks of the regular file or directory that `fd`, which is not O_PATH, is open on
// (FS_IOC_GETFLAGS). Where the file system keeps no such marks: none.
Result<InodeMarks> inode_marks(int fd);

// Gives it `sync` and `no_atime` besides what it has. ENOTTY or EOPNOTSUPP where its file system
// does not keep them.
Result<void> add_inode_marks(int fd, const InodeMarks& marks);

// The first two marks of a regular file or directory, of anything else neither. That takes one
// call unless statx(2) reports one of them. Then the file system is asked whether it keeps the mark
// at all, for EROFS reports each inode as immutable, and so does whatever shows one of EROFS.
// Whether a change of the inode is held up depends on the mark that is kept.
Result<InodeMarks> holding_marks(const At& at);

}  // namespace layerfs::sys
