// The seam to the kernel's registry of passthrough files.
#pragma once

#include "fs/sys/result.h"

namespace layerfs::op {

// Registers files whose data the kernel reads and writes without the daemon. Thread-safe.
// (FUSE_DEV_IOC_BACKING_OPEN and _CLOSE; needs CAP_SYS_ADMIN in the initial user namespace.)
class Backing {
 public:
  virtual ~Backing() = default;

  // Registers what `fd` refers to. The kernel reopens its path with the flags of each user's open,
  // whatever the mode of `fd`: a descriptor of a lower file must come from a read-only mount.
  virtual Result<int> open(int fd) = 0;

  // Gives the id back. Files already open through it go on.
  virtual void close(int backing) = 0;
};

}  // namespace layerfs::op
