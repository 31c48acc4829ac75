// What files marked by chattr(1) as immutable or append-only do not allow, to root either. For
// fs/op only.
#pragma once

#include "fs/op/attr.h"
#include "fs/op/file_system_state.h"

namespace layerfs::op {

// EPERM where the marks forbid it.
Result<void> allow_open(FileSystem& fs, tree::Node& node, int flags);
Result<void> allow_setattr(FileSystem& fs, tree::Node& node, const AttrChange& change);
Result<void> allow_fallocate(FileSystem& fs, tree::Node& node, int mode);
// Into `node`, by a descriptor from before it was marked; write(2) by such a one is allowed.
Result<void> allow_copy_range(FileSystem& fs, tree::Node& node);
// Of xattrs, ACLs among them.
Result<void> allow_setxattr(FileSystem& fs, tree::Node& node);

}  // namespace layerfs::op
