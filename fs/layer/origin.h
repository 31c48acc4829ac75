// Which lower file an upper one was copied from.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>

#include "fs/layer/marks.h"
#include "fs/sys/file_handle.h"
#include "fs/sys/result.h"
#include "fs/sys/unique_fd.h"

namespace layerfs::layer {

// The Origin of `name` in `dirfd`, or of `dirfd` itself if `name` is empty, on the file system that
// sys::filesystem_uuid() calls `uuid`. EOPNOTSUPP: the file system has no handles, and so the
// origin stays unknown.
Result<Origin> origin_of(int dirfd, const char* name, const sys::Uuid& uuid, bool upper = false);

// Opens the file on the file system of `fd`, whose uuid is `uuid`, that `origin` names; `flags` as
// for open(2). ESTALE: it is gone, or lies on another file system. EPERM: without
// CAP_DAC_READ_SEARCH. The file may lie outside of any layer: good for what identifies it only.
Result<sys::UniqueFd> open_origin(int fd, const sys::Uuid& uuid, const Origin& origin, int flags);

// The inode number that a handle holds, without asking the file system and without privilege;
// nothing for kinds of handles that are not known (ext4, xfs, btrfs, tmpfs, f2fs, erofs are).
std::optional<std::uint64_t> inode_number(const sys::FileHandle& handle);

// The same for a handle of 64-bit numbers that has their upper half first, as erofs makes them;
// nothing for other kinds.
std::optional<std::uint64_t> swapped_inode_number(const sys::FileHandle& handle);

// The subvolume that a handle of btrfs lies in (the objectid of its root); nothing for other kinds.
std::optional<std::uint64_t> volume_of(const sys::FileHandle& handle);

}  // namespace layerfs::layer
