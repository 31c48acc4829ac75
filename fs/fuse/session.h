// A live mount.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "fs/fuse/mount_options.h"
#include "fs/sys/failure.h"

namespace layerfs::fuse {

// Whether such a mount is nosuid and nodev whatever its options say: it would show owners and modes
// that users wrote, with the privilege of root.
bool is_restricted(const MountOptions& options);

// Serves one mount point until it is unmounted. Not thread-safe but for stop() and the observers.
class Session {
 public:
  virtual ~Session() = default;  // unmounts if still mounted

  // Opens the union, mounts it and agrees with the kernel on the protocol. When this returns the
  // mount point shows the union to everybody (requests wait until serve() is called). On failure
  // nothing is mounted. Sets the process's umask to 0 and its soft limit of open files to the hard
  // one; starts no thread but libfuse's for io_uring.
  static Outcome<std::unique_ptr<Session>> mount(const MountOptions& options);

  // Takes from the process what serve() and the object's end do not need (fs/fuse/confinement.h):
  // for a process that does nothing else any more, before serve().
  virtual void confine() = 0;

  // Answers requests until the mount point is unmounted or stop() is called; then nothing is
  // mounted any more, and users of what was get ENOTCONN.
  virtual Outcome<void> serve() = 0;

  // Ends serve() soon. Async-signal-safe.
  virtual void stop() noexcept = 0;

  // st_dev of everything in the mount.
  virtual dev_t device() const = 0;

  // What was agreed on, for a person: transport, threads, passthrough or writeback cache.
  virtual std::string description() const = 0;

  // How many requests of each kind came so far, by the protocol's names ("LOOKUP"); kinds that
  // never came are left out.
  virtual std::map<std::string, std::uint64_t> request_counts() const = 0;

  // How many inodes the daemon remembers for the kernel.
  virtual std::size_t known_inodes() const = 0;
};

}  // namespace layerfs::fuse
