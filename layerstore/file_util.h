// Whole files and whole trees. A path is relative to a directory descriptor and never leads out of
// that directory nor through a symlink (sys::open_beneath): EXDEV and ELOOP. What
// the last name stands for is not followed either.
#pragma once

#include <sys/stat.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fs/sys/failure.h"
#include "fs/sys/result.h"
#include "fs/sys/unique_fd.h"

namespace layerfs::store {

// A regular file; EINVAL, EISDIR or ELOOP for anything else. Never waits for one. `mode` is
// for O_CREAT.
Result<sys::UniqueFd> open_file(int dirfd, const std::string& path, int flags, mode_t mode = 0600);
// A directory, for reading.
Result<sys::UniqueFd> open_dir(int dirfd, const std::string& path);

// Of the entry itself.
Result<struct stat> stat_entry(int dirfd, const std::string& path);
// Whether there is such an entry, of whatever type. One that cannot be looked at is none.
bool has_entry(int dirfd, const std::string& path);
bool has_dir(int dirfd, const std::string& path);

// The whole content of a regular file of at most `limit` bytes (EFBIG beyond).
Result<std::string> read_file(int dirfd, const std::string& path, std::size_t limit);

// A new regular file with this content (EEXIST), with the mode 0644 less the umask. Not synced.
Result<void> make_file(int dirfd, const std::string& path, std::string_view content);

// Writes all of it, whatever write(2) does at a time.
Result<void> write_all(int fd, std::span<const std::byte> bytes);

// Reads until the buffer is full or the file ends; the number of bytes read.
Result<std::size_t> read_at(int fd, std::span<std::byte> buffer, std::uint64_t offset);

// Replaces the file `name`, no path, in the directory so that a crash leaves the old one or the new
// one. Not for concurrent writers of the same name: they hold a lock.
Result<void> replace_file(int dirfd, const std::string& name, std::string_view content);

// sys::remove_tree(), where absent is success.
Result<void> remove_tree(int dirfd, const std::string& path);

// rename(2); with `flags` renameat2(2).
Result<void> move_entry(int from_dirfd, const std::string& from, int to_dirfd,
                        const std::string& to, unsigned flags = 0);

// What has been made, renamed or removed in the directory is on the disk when it returns.
Result<void> sync_dir(int dirfd, const std::string& path);

// The names in a directory, but "." and "..", in no order.
Result<std::vector<std::string>> list_dir(int dirfd, const std::string& path);

// mkdir; an existing directory is success.
Result<void> make_dir(int dirfd, const std::string& path, unsigned mode);

// What could not be done with an entry of a store, in the words that fit a store: a symlink or
// another type where a file or directory belongs has been put there by somebody.
tl::unexpected<Failure> refuse_entry(std::string sentence, Errno error);

}  // namespace layerfs::store
