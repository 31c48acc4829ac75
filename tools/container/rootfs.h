// A container's root directory as it is prepared from outside: no symlink in it leads out of it.
#pragma once

#include <string>

#include "fs/sys/failure.h"
#include "tools/container/user.h"

namespace layerfs::tools {

// /etc/passwd and /etc/group below `rootfs`. Refuses what is there and is not a regular file of
// reasonable size.
Outcome<UserFiles> read_user_files(const std::string& rootfs);

// Makes the directory `path` (as a process in the container names it) and those above it where they
// are missing, 0755 and owned by the caller.
Outcome<void> make_directories(const std::string& rootfs, const std::string& path);

}  // namespace layerfs::tools
