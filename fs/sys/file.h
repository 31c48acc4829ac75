// File system calls on descriptors and single names. Thread-safe; every failure is its errno.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "fs/sys/at.h"
#include "fs/sys/result.h"
#include "fs/sys/unique_fd.h"

namespace layerfs::sys {

// What all that opens here has in common, so that nothing which somebody does to a layer can hold
// up or mislead the caller:
//
// - O_CLOEXEC, O_NOCTTY and O_NONBLOCK are added: neither a FIFO nor a device nor a lease is waited
//   for (EAGAIN if who holds a lease keeps it for more than 0.2 s). Reads and writes of regular
//   files are the same with O_NONBLOCK.
// - Without O_PATH, what is opened is a regular file or, with O_DIRECTORY, a directory. Anything
//   else is EIO, for the caller has seen a file there: it was changed from outside.

// Opens `path`, relative to `dirfd`, such that no component leaves the directory or is a symlink
// (openat2 with RESOLVE_BENEATH, NO_SYMLINKS, NO_MAGICLINKS). An empty path reopens `dirfd` itself.
// O_NOFOLLOW is implied.
Result<UniqueFd> open_beneath(int dirfd, const char* path, int flags, mode_t mode = 0);

// Opens `path` as a process whose root directory is `dirfd` would: symlinks are followed and none
// leads out of it (openat2 with RESOLVE_IN_ROOT, NO_MAGICLINKS).
Result<UniqueFd> open_in_root(int dirfd, const char* path, int flags);

// The directory that the directory `dirfd` is in by now, for reading.
Result<UniqueFd> open_parent(int dirfd);

// An O_PATH descriptor of whatever the single `name` is, a symlink itself included.
Result<UniqueFd> open_entry(int dirfd, const char* name);

// Opens a path that a person named: symlinks are followed.
Result<UniqueFd> open_path(const char* path, int flags, mode_t mode = 0);

// Another open file of what `fd`, which may be O_PATH, refers to. Not for symlinks.
Result<UniqueFd> reopen(int fd, int flags);

// Another descriptor of the same open file.
Result<UniqueFd> duplicate(int fd);

// The path by which calls without an *at form reach what `fd` refers to, also a symlink itself.
std::string fd_path(int fd);
// The same for `name` in the directory `dirfd`; use with calls that do not follow links.
std::string fd_path(int dirfd, const char* name);

Result<struct stat> stat_fd(int fd);
Result<struct stat> stat_at(int dirfd, const char* name);  // of a symlink: its own
Result<struct stat> stat_of(const At& at);
// When it was made; nothing where the file system does not know.
Result<std::optional<timespec>> birth_time(const At& at);

// Whether there is an entry `name`, which may be a path, below the directory. A name that is too
// long for the file system (ENAMETOOLONG) cannot be there. Other errors do not say that it is not.
Result<bool> has_entry(int dirfd, const char* name);

Result<std::string> readlink_at(int dirfd, const char* name);

Result<void> make_dir(int dirfd, const char* name, mode_t mode);
Result<void> make_node(int dirfd, const char* name, mode_t mode, dev_t rdev);
Result<void> make_symlink(const char* target, int dirfd, const char* name);

// A further name for what `fd` (O_PATH or not, also without any name) refers to.
Result<void> link_fd(int fd, int dirfd, const char* name);
Result<void> link_at(int from_dirfd, const char* from, int to_dirfd, const char* to);

Result<void> unlink_at(int dirfd, const char* name);
Result<void> remove_dir(int dirfd, const char* name);
Result<void> rename_at(int from_dirfd, const char* from, int to_dirfd, const char* to,
                       unsigned flags = 0);

// Attributes of what `fd`, which may be O_PATH, refers to; (uid_t)-1 and (gid_t)-1 stay as they
// are.
Result<void> chmod_fd(int fd, mode_t mode);
Result<void> chown_fd(int fd, uid_t uid, gid_t gid);
Result<void> set_times(int fd, const timespec& atime, const timespec& mtime);
// The same for `name` in `dirfd`, or `dirfd` itself if `name` is empty.
Result<void> chown_at(int dirfd, const char* name, uid_t uid, gid_t gid);
Result<void> set_times_at(int dirfd, const char* name, const timespec& atime,
                          const timespec& mtime);
// A symlink is EOPNOTSUPP or EINVAL, and never followed.
Result<void> chmod_at(const At& at, mode_t mode);
Result<void> truncate_at(const At& at, off_t size);
Result<void> truncate_fd(int fd, off_t size);

// Creates a regular file without a name in the file system of directory `dirfd`, open O_RDWR.
Result<UniqueFd> open_tmpfile(int dirfd, mode_t mode);

// Takes an exclusive flock on `fd` without waiting; EWOULDBLOCK where another has it.
Result<void> lock_exclusive(int fd);
// The same for a shared one.
Result<void> lock_shared(int fd);

// All bytes, or the error that stopped it.
Result<std::size_t> read_at(int fd, std::span<std::byte> buffer, off_t offset);
// The same as read_at() if the page cache has it all; nothing if it would wait for the disk.
Result<std::optional<std::size_t>> read_cached_at(int fd, std::span<std::byte> buffer,
                                                  off_t offset);
Result<std::size_t> write_at(int fd, std::span<const std::byte> data, off_t offset);

}  // namespace layerfs::sys
