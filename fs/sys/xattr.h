// Extended attributes of anything, symlinks included. Thread-safe; every failure is its errno.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fs/sys/at.h"
#include "fs/sys/result.h"

namespace layerfs::sys {

// ENODATA where there is none.
Result<std::string> get_xattr(const At& at, const std::string& name);
// The value of an xattr that need not be there. Nothing if the inode has none (ENODATA) or if its
// file system has none of that kind (EOPNOTSUPP); every other error is passed on, since it does not
// say that the xattr is absent.
Result<std::optional<std::string>> find_xattr(const At& at, const std::string& name);
Result<void> set_xattr(const At& at, const std::string& name, std::string_view value,
                       int flags = 0);
Result<void> remove_xattr(const At& at, const std::string& name);

// Takes from the directory `fd`, just made, what it inherited: ACLs and setgid. Its mode is then
// `mode`, and what is made in it inherits nothing.
Result<void> drop_inherited(int fd, mode_t mode);

// The names, each ended by a NUL; empty on a file system without xattrs.
Result<std::string> list_xattr(const At& at);

// The names of such a list.
std::vector<std::string> split_xattrs(const std::string& list);

}  // namespace layerfs::sys
