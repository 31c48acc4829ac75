// Whole files and whole trees.
#pragma once

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

// The whole content of a regular file of at most `limit` bytes (EFBIG beyond).
Result<std::string> read_file(int dirfd, const char* path, std::size_t limit);

// Writes all of it, whatever write(2) does at a time.
Result<void> write_all(int fd, std::span<const std::byte> bytes);

// Reads until the buffer is full or the file ends; the number of bytes read.
Result<std::size_t> read_at(int fd, std::span<std::byte> buffer, std::uint64_t offset);

// Replaces the file `name` in the directory so that a crash leaves the old one or the new one.
// Not for concurrent writers of the same name: they hold a lock.
Result<void> replace_file(int dirfd, const std::string& name, std::string_view content);

// Removes the entry and, if it is a directory, all it holds. Follows no symlink, crosses no
// descriptor limit however deep the tree is. Absent is success.
Result<void> remove_tree(int dirfd, const std::string& name);

// The names in a directory, but "." and "..", in no order.
Result<std::vector<std::string>> list_dir(int dirfd, const char* path);

// mkdir; existing is success.
Result<void> make_dir(int dirfd, const char* path, unsigned mode);

}  // namespace layerfs::store
