// fusermount3, which mounts and unmounts for users who may not.
#pragma once

#include <sys/types.h>

#include <string>

#include "fs/fuse/kernel_mount.h"
#include "fs/sys/failure.h"
#include "fs/sys/unique_fd.h"

namespace layerfs::fuse {

// A process that waits to call fusermount3 at the end of a mount: a daemon that can gain no
// privileges any more (no_new_privs) could not, since fusermount3 is setuid. It is a copy of this
// process from before that, holds none of its files, and ends with it.
class Unmounter {
 public:
  // For one mount point. Refuses if no process can be started.
  static Outcome<std::unique_ptr<Unmounter>> start(const std::string& mountpoint);

  ~Unmounter();
  Unmounter(const Unmounter&) = delete;
  Unmounter& operator=(const Unmounter&) = delete;

  // As fuse::unmount(), for kNow and kLazy.
  Outcome<void> unmount(Unmount how);

 private:
  Unmounter(std::string mountpoint, pid_t pid, sys::UniqueFd line)
      : mountpoint_(std::move(mountpoint)), pid_(pid), line_(std::move(line)) {}

  const std::string mountpoint_;
  const pid_t pid_;
  sys::UniqueFd line_;
};

// mount_kernel() and unmount() by fusermount3.
Outcome<Connection> mount_by_fusermount(const KernelMount& mount);
Outcome<void> unmount_by_fusermount(const std::string& mountpoint, Unmount how);

}  // namespace layerfs::fuse
