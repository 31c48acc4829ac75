#include "fs/fuse/passthrough.h"

#include <linux/capability.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>

#include <spdlog/spdlog.h>

#include "fs/sys/capabilities.h"

namespace layerfs::fuse {

namespace {

// The kernel's interface since 6.9 (include/uapi/linux/fuse.h), which older headers lack.
struct BackingMap {
  std::int32_t fd;
  std::uint32_t flags;
  std::uint64_t padding;
};
constexpr unsigned kDeviceMagic = 229;
constexpr unsigned long kBackingOpen = _IOW(kDeviceMagic, 1, BackingMap);
constexpr unsigned long kBackingClose = _IOW(kDeviceMagic, 2, std::uint32_t);

// The initial user namespace always has this inode number (PROC_USER_INIT_INO).
constexpr ino_t kInitialUserNamespace = 0xEFFFFFFD;

}  // namespace

bool may_pass_through() {
  struct stat space = {};
  return ::stat("/proc/self/ns/user", &space) == 0 && space.st_ino == kInitialUserNamespace &&
         sys::has_effective_capability(CAP_SYS_ADMIN);
}

Result<int> KernelBacking::open(int fd) {
  const BackingMap map = {.fd = fd, .flags = 0, .padding = 0};
  const int backing = ::ioctl(device_, kBackingOpen, &map);
  if (backing < 0) return fail(Errno::last());
  return backing;
}

void KernelBacking::close(int backing) {
  const auto id = static_cast<std::uint32_t>(backing);
  // The id was valid until now, so this fails only if the connection is gone, and the ids with it.
  if (::ioctl(device_, kBackingClose, &id) != 0) spdlog::debug("backing {} is gone", backing);
}

}  // namespace layerfs::fuse
