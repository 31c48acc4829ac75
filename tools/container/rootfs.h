// A container's root directory as it is prepared from outside: no symlink in it leads out of it.
#pragma once

#include <string>
#include <vector>

#include "fs/sys/failure.h"
#include "tools/container/user.h"

namespace layerfs::tools {

// /etc/passwd and /etc/group below `rootfs`. Refuses what is there and is not a regular file of
// reasonable size.
Outcome<UserFiles> read_user_files(const std::string& rootfs);

// Makes the directory `path` (as a process in the container names it) and those above it where they
// are missing, 0755 and owned by the caller.
Outcome<void> make_directories(const std::string& rootfs, const std::string& path);

// What a runtime works on from outside of the container, below `rootfs`: makes each of
// `directories` and, empty, each of `files` (absolute, as a process in the container names them)
// where they are missing, or where a symlink is in the place of a file. Refuses what is or lies
// below the symlink of a directory, which the runtime would follow to where it leads on this
// machine, and what is of another kind. With `look_only` nothing is made.
struct MountPoints {
  std::vector<std::string> directories;
  std::vector<std::string> files;
};
Outcome<void> make_mount_points(const std::string& rootfs, const MountPoints& wanted,
                                bool look_only);

// The path, as a process in the container names it, of what `path` leads to without a symlink in
// it, or of what it would be made as. Nothing outside of `rootfs` is ever looked at.
Outcome<std::string> real_path_in(const std::string& rootfs, const std::string& path);

}  // namespace layerfs::tools
