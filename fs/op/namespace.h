// Operations that change directories. On a mount without upper all of them fail with EROFS.
#pragma once

#include <string_view>

#include "fs/op/file_system.h"
#include "fs/op/types.h"

namespace layerfs::op {

// `mode` holds the type too, as mknod(2) takes it, and arrives without the caller's umask applied:
// that happens here, unless the parent has a default ACL.
Result<Entry> mknod(FileSystem& fs, const Caller& caller, NodeId parent, std::string_view name,
                    mode_t mode, dev_t rdev);
Result<Entry> mkdir(FileSystem& fs, const Caller& caller, NodeId parent, std::string_view name,
                    mode_t mode);
Result<Entry> symlink(FileSystem& fs, const Caller& caller, NodeId parent, std::string_view name,
                      std::string_view target);

// A further name for `node`, which is copied up first.
Result<Entry> link(FileSystem& fs, NodeId node, NodeId parent, std::string_view name);

Result<void> unlink(FileSystem& fs, NodeId parent, std::string_view name);
Result<void> rmdir(FileSystem& fs, NodeId parent, std::string_view name);

// `flags`: 0, RENAME_NOREPLACE or RENAME_EXCHANGE; others EINVAL.
Result<void> rename(FileSystem& fs, NodeId parent, std::string_view name, NodeId new_parent,
                    std::string_view new_name, unsigned flags);

}  // namespace layerfs::op
