// Files by the handle that their file system gives them (name_to_handle_at(2)).
#pragma once

#include <array>
#include <cstddef>
#include <string>

#include "fs/sys/result.h"
#include "fs/sys/unique_fd.h"

namespace layerfs::sys {

// What a file system names a file by for as long as the file exists, whatever happens to its paths.
struct FileHandle {
  int type = 0;       // fid_type, include/linux/exportfs.h
  std::string bytes;  // in the byte order of this machine; at most MAX_HANDLE_SZ
  friend bool operator==(const FileHandle&, const FileHandle&) = default;
};

// The handle of `name` in `dirfd`, or of `dirfd` itself (which may be O_PATH) if `name` is empty.
// The last component is not followed. EOPNOTSUPP: the file system has no handles.
Result<FileHandle> handle_of(int dirfd, const char* name);

// An O_PATH descriptor of the file with that handle on the file system of `fd`; `flags` as for
// open(2), O_PATH and O_CLOEXEC are added. EPERM: without CAP_DAC_READ_SEARCH. ESTALE: there is no
// such file (any more). The file may lie anywhere on that file system, so it must not be trusted to
// be part of a layer.
Result<UniqueFd> open_handle(int fd, const FileHandle& handle, int flags);

using Uuid = std::array<std::byte, 16>;

// The uuid by which the kernel knows the file system of `fd`, which is open, not O_PATH. All zeroes
// where it has none or does not tell.
Uuid filesystem_uuid(int fd);

}  // namespace layerfs::sys
