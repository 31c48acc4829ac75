// Extended attributes. Those of the format itself (overlay.*) are never seen; a user's own under
// that prefix are stored escaped, as kernel overlayfs has it (fs/overlayfs/xattrs.c).
#pragma once

#include <string>
#include <string_view>

#include "fs/op/file_system.h"
#include "fs/op/types.h"

namespace layerfs::op {

Result<std::string> getxattr(FileSystem& fs, NodeId node, const std::string& name);

// Names, each ended by a NUL. Names in trusted.* are for root only, which the kernel leaves to us.
Result<std::string> listxattr(FileSystem& fs, const Caller& caller, NodeId node);

// `flags`: 0, XATTR_CREATE, XATTR_REPLACE. `kill_sgid`: FUSE_SETXATTR_ACL_KILL_SGID.
Result<void> setxattr(FileSystem& fs, NodeId node, const std::string& name, std::string_view value,
                      int flags, bool kill_sgid);

Result<void> removexattr(FileSystem& fs, NodeId node, const std::string& name);
// The same as part of another change, whatever the file's marks forbid.
Result<void> drop_xattr(FileSystem& fs, NodeId node, const std::string& name);

}  // namespace layerfs::op
