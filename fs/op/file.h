// Open files: their data and their end.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "fs/op/file_system.h"
#include "fs/op/types.h"

namespace layerfs::op {

// `flags` as open(2) has them. Opening for writing (or with O_TRUNC) copies the file up.
// `thread` is the one that opens, 0 if it is not known.
// ESTALE asks the kernel to walk the path again: the name leads to another node from now on. If the
// thread opens the same node once more there is no path to walk. Then the open succeeds if it is
// for reading, or if nothing reads the lower file any more.
Result<Opened> open(FileSystem& fs, NodeId node, int flags, pid_t thread = 0);

struct Created {
  Entry entry;
  Opened opened;
};
// A new regular file, opened. EEXIST if the name is there and O_EXCL is set; opened otherwise.
Result<Created> create(FileSystem& fs, const Caller& caller, NodeId parent, std::string_view name,
                       mode_t mode, int flags);

// O_TMPFILE: a file without a name, which link() may give it one.
Result<Created> tmpfile(FileSystem& fs, const Caller& caller, NodeId parent, mode_t mode,
                        int flags);

// At most buffer.size() bytes from `offset`; fewer only at the end of the file. Served by node and
// not by handle, so that a descriptor opened before a copy-up reads what was written after it.
Result<std::size_t> read(FileSystem& fs, NodeId node, HandleId handle, std::span<std::byte> buffer,
                         off_t offset);

// The same, but nothing if the data is not in the page cache: reading it would sleep.
Result<std::optional<std::size_t>> read_cached(FileSystem& fs, NodeId node, HandleId handle,
                                               std::span<std::byte> buffer, off_t offset);

// All of `data` or an error. `kill_suidgid` as in AttrChange.
Result<std::size_t> write(FileSystem& fs, NodeId node, HandleId handle,
                          std::span<const std::byte> data, off_t offset,
                          const std::optional<Caller>& kill_suidgid);

void release(FileSystem& fs, NodeId node, HandleId handle) noexcept;

// A no-op on a volatile mount.
Result<void> fsync(FileSystem& fs, NodeId node, HandleId handle, bool data_only);

// The upper's file system to the disk. A no-op on a volatile mount.
Result<void> syncfs(FileSystem& fs);

// `mode` as fallocate(2) has it.
Result<void> fallocate(FileSystem& fs, NodeId node, HandleId handle, int mode, off_t offset,
                       off_t length);

struct FileRange {
  NodeId node;
  HandleId handle;
  off_t offset;
};
Result<std::size_t> copy_file_range(FileSystem& fs, const FileRange& from, const FileRange& to,
                                    std::size_t length);

// SEEK_DATA and SEEK_HOLE; the kernel answers the others itself.
Result<off_t> lseek(FileSystem& fs, NodeId node, HandleId handle, off_t offset, int whence);

// FS_IOC_GETFLAGS and FS_IOC_FSGETXATTR, and the setters of the same, which copy up. `in` is what
// the caller passed, the result what it gets back. ENOTTY for every other request.
Result<std::string> ioctl(FileSystem& fs, NodeId node, HandleId handle, unsigned request,
                          std::string_view in);
// Whether that request changes attributes: ctime, at least.
bool changes_attr(unsigned ioctl_request);

}  // namespace layerfs::op
