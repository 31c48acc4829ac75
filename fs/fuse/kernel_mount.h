// The kernel's side of a mount: making it, finding it, ending it.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "fs/sys/failure.h"
#include "fs/sys/mount.h"
#include "fs/sys/unique_fd.h"

namespace layerfs::fuse {

struct KernelMount {
  std::string mountpoint;  // absolute
  std::string source;      // first column of /proc/mounts
  bool read_only = false;
  bool allow_other = false;
  std::vector<std::string> options;  // as mount(8) names them: nosuid, noatime, context=...
};

// The end of the type's name: fuse.layerfs.
inline constexpr std::string_view kSubtype = "layerfs";

class Unmounter;  // fs/fuse/fusermount.h

// A mount that the kernel has.
struct Connection {
  sys::UniqueFd device;
  // Only where fusermount3 mounted.
  std::unique_ptr<Unmounter> unmounter;

  Connection(sys::UniqueFd opened, std::unique_ptr<Unmounter> helper);
  Connection(Connection&&) noexcept;
  Connection& operator=(Connection&&) noexcept;
  ~Connection();
};

// Mounts a FUSE file system of type fuse.layerfs. Tries mount(2); where that is not permitted,
// fusermount3. On failure nothing is mounted.
Outcome<Connection> mount_kernel(const KernelMount& mount);

// Makes it nosuid and nodev, whatever its options say.
void forbid_setuid(KernelMount& mount);

// Gives the mount there the flags of `mount`; nothing else of it can be changed, and nosuid, nodev
// and noexec stay unless the options take them away. Needs root.
Outcome<void> remount(const KernelMount& mount);

// How such a mount shall treat times of access.
sys::Atime atime_of(const KernelMount& mount);

enum class Unmount {
  kNow,
  kLazy,    // also a mount in use, which then ends with its last user
  kForced,  // requests that wait for the daemon fail
};

// Unmounts: mount(2)'s call, or fusermount3 where that is not permitted.
Outcome<void> unmount(const std::string& mountpoint, Unmount how);

// Whether a mount of that number is left in any mount namespace. False if the kernel does not say.
bool is_mounted_anywhere(dev_t device);

// The device number of the mount at `mountpoint`, got without asking the daemon; 0 if unknown.
dev_t device_of(const std::string& mountpoint);

// Whether libfuse can agree on idmapped mounts (mount_setattr(2)); Linux can from 6.12 on.
bool libfuse_allows_idmapped();

// Lets the kernel read ahead as far as one request reaches; INIT cannot ask for more than 128 KiB.
// Needs root; without it nothing changes.
void raise_read_ahead(dev_t device);

}  // namespace layerfs::fuse
