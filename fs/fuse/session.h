// A live mount.
#pragma once

#include <memory>

#include "fs/fuse/mount_options.h"
#include "fs/sys/failure.h"

namespace layerfs::fuse {

// Serves one mount point until it is unmounted. Not thread-safe but for stop().
class Session {
 public:
  virtual ~Session() = default;  // unmounts if still mounted

  // Opens the union and mounts it. When this returns the mount point shows the union to everybody
  // (requests wait until serve() is called). On failure nothing is mounted.
  static Outcome<std::unique_ptr<Session>> mount(const MountOptions& options);

  // Answers requests until the mount point is unmounted or stop() is called.
  virtual Outcome<void> serve() = 0;

  // Ends serve() soon. Async-signal-safe.
  virtual void stop() noexcept = 0;
};

}  // namespace layerfs::fuse
