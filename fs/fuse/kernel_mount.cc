#include "fs/fuse/kernel_mount.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <array>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "fs/fuse/config.h"
#include "fs/fuse/fusermount.h"
#include "fs/fuse/init.h"

namespace layerfs::fuse {

namespace {

struct MountFlag {
  std::string_view name;
  unsigned long bit;
  bool set;  // else the option clears it
};
constexpr unsigned long kNoSymlinkFollow = 256;  // MS_NOSYMFOLLOW since Linux 5.10
constexpr std::array kFlags = {
    MountFlag{"ro", MS_RDONLY, true},
    MountFlag{"rw", MS_RDONLY, false},
    MountFlag{"nosuid", MS_NOSUID, true},
    MountFlag{"suid", MS_NOSUID, false},
    MountFlag{"nodev", MS_NODEV, true},
    MountFlag{"dev", MS_NODEV, false},
    MountFlag{"noexec", MS_NOEXEC, true},
    MountFlag{"exec", MS_NOEXEC, false},
    MountFlag{"sync", MS_SYNCHRONOUS, true},
    MountFlag{"async", MS_SYNCHRONOUS, false},
    MountFlag{"dirsync", MS_DIRSYNC, true},
    MountFlag{"noatime", MS_NOATIME, true},
    MountFlag{"atime", MS_NOATIME, false},
    MountFlag{"nodiratime", MS_NODIRATIME, true},
    MountFlag{"diratime", MS_NODIRATIME, false},
    MountFlag{"relatime", MS_RELATIME, true},
    MountFlag{"norelatime", MS_RELATIME, false},
    MountFlag{"strictatime", MS_STRICTATIME, true},
    MountFlag{"lazytime", MS_LAZYTIME, true},
    MountFlag{"nosymfollow", kNoSymlinkFollow, true},
};

// The flags among the options, and the rest as mount(2)'s data.
struct MountArguments {
  unsigned long flags = 0;
  std::string data;
};

MountArguments arguments_of(const KernelMount& mount) {
  MountArguments arguments;
  for (const std::string& option : mount.options) {
    bool known = false;
    for (const MountFlag& flag : kFlags) {
      if (flag.name != option) continue;
      arguments.flags = flag.set ? arguments.flags | flag.bit : arguments.flags & ~flag.bit;
      known = true;
    }
    if (!known) arguments.data += "," + option;
  }
  if (mount.read_only) arguments.flags |= MS_RDONLY;
  return arguments;
}

// What the mount there does not allow, as options.
Outcome<std::vector<std::string>> restrictions_of(const std::string& mountpoint) {
  struct statvfs status;
  if (::statvfs(mountpoint.c_str(), &status) != 0)
    return refuse(fmt::format("{} cannot be remounted", mountpoint), Errno::last());
  std::vector<std::string> options;
  if ((status.f_flag & ST_NOSUID) != 0) options.emplace_back("nosuid");
  if ((status.f_flag & ST_NODEV) != 0) options.emplace_back("nodev");
  if ((status.f_flag & ST_NOEXEC) != 0) options.emplace_back("noexec");
  return options;
}

Outcome<sys::UniqueFd> open_device() {
  sys::UniqueFd device(::open("/dev/fuse", O_RDWR | O_CLOEXEC));
  if (device) return device;
  switch (errno) {
    case ENOENT:
    case ENODEV:
    case ENXIO:
      return refuse("there is no /dev/fuse here; load the kernel module 'fuse' (modprobe fuse)",
                    errno);
    case EACCES:
    case EPERM:
      return refuse("/dev/fuse may not be opened by this user (chmod 666 /dev/fuse allows it)",
                    errno);
    default:
      return refuse("/dev/fuse does not open", Errno::last());
  }
}

// mount(2). EPERM says that this process is not allowed to mount.
Result<void> mount_directly(const KernelMount& mount, int device, mode_t root_mode) {
  const MountArguments arguments = arguments_of(mount);
  const std::string data =
      fmt::format("fd={},rootmode={:o},user_id={},group_id={},default_permissions{}{}", device,
                  root_mode & S_IFMT, ::geteuid(), ::getegid(),
                  mount.allow_other ? ",allow_other" : "", arguments.data);
  const std::string type = fmt::format("fuse.{}", kSubtype);
  if (::mount(mount.source.c_str(), mount.mountpoint.c_str(), type.c_str(), arguments.flags,
              data.c_str()) != 0) {
    return fail(Errno::last());
  }
  return {};
}

Outcome<mode_t> mode_of_mountpoint(const std::string& mountpoint) {
  struct stat attr = {};
  struct statfs fs = {};
  // Attributes may come from the kernel's cache; statfs always asks the daemon.
  if (::stat(mountpoint.c_str(), &attr) != 0 || ::statfs(mountpoint.c_str(), &fs) != 0) {
    // The second where its requests went over io_uring.
    if (errno == ENOTCONN || errno == ECONNABORTED) {
      return refuse(
          fmt::format("{} is a mount whose daemon is gone; `layerfs umount {}` removes it",
                      mountpoint, mountpoint),
          ENOTCONN);
    }
    return refuse(fmt::format("the mount point {} cannot be used", mountpoint), Errno::last());
  }
  if (!S_ISDIR(attr.st_mode)) {
    return refuse(fmt::format("the mount point {} is not a directory", mountpoint), ENOTDIR);
  }
  return attr.st_mode;
}

// Where the kernel shows how it reads ahead; there as long as the file system is.
std::string bdi_path(dev_t device) {
  return fmt::format("/sys/class/bdi/{}:{}", major(device), minor(device));
}

}  // namespace

Connection::Connection(sys::UniqueFd opened, std::unique_ptr<Unmounter> helper)
    : device(std::move(opened)), unmounter(std::move(helper)) {}
Connection::Connection(Connection&&) noexcept = default;
Connection& Connection::operator=(Connection&&) noexcept = default;
Connection::~Connection() = default;

Outcome<Connection> mount_kernel(const KernelMount& mount) {
  LAYERFS_TRY_ASSIGN(const mode_t root_mode, mode_of_mountpoint(mount.mountpoint));
  LAYERFS_TRY_ASSIGN(sys::UniqueFd device, open_device());
  const auto mounted = mount_directly(mount, device.get(), root_mode);
  if (mounted) return Connection{std::move(device), nullptr};
  if (mounted.error().code() == EPERM && ::geteuid() != 0) return mount_by_fusermount(mount);
  return refuse(fmt::format("{} cannot be mounted on", mount.mountpoint), mounted.error());
}

void forbid_setuid(KernelMount& mount) {
  mount.options.insert(mount.options.end(), {"nosuid", "nodev"});
}

Outcome<void> remount(const KernelMount& mount) {
  KernelMount kept = mount;
  LAYERFS_TRY_ASSIGN(kept.options, restrictions_of(mount.mountpoint));
  kept.options.insert(kept.options.end(), mount.options.begin(), mount.options.end());
  const unsigned long flags = arguments_of(kept).flags | MS_REMOUNT;
  if (::mount(mount.source.c_str(), mount.mountpoint.c_str(), nullptr, flags, nullptr) == 0) {
    return {};
  }
  return refuse(fmt::format("{} cannot be remounted", mount.mountpoint), Errno::last());
}

sys::Atime atime_of(const KernelMount& mount) {
  const unsigned long flags = arguments_of(mount).flags;
  // Who reads what cannot be written leaves no trace.
  if ((flags & (MS_RDONLY | MS_NOATIME)) != 0) return sys::Atime::kNever;
  return (flags & MS_STRICTATIME) != 0 ? sys::Atime::kAlways : sys::Atime::kRelative;
}

Outcome<void> unmount(const std::string& mountpoint, Unmount how) {
  const int flags = how == Unmount::kLazy ? MNT_DETACH : how == Unmount::kForced ? MNT_FORCE : 0;
  if (::umount2(mountpoint.c_str(), UMOUNT_NOFOLLOW | flags) == 0) return {};
  const Errno error = Errno::last();
  if (error.code() != EPERM || ::geteuid() == 0) {
    return refuse(fmt::format("{} cannot be unmounted", mountpoint), error);
  }
  return unmount_by_fusermount(mountpoint, how);
}

bool is_mounted_anywhere(dev_t device) { return ::access(bdi_path(device).c_str(), F_OK) == 0; }

dev_t device_of(const std::string& mountpoint) {
  struct statx attr = {};
  // Nothing but the device is wanted, which the kernel knows itself.
  if (::statx(AT_FDCWD, mountpoint.c_str(), AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, 0, &attr) != 0) {
    return 0;
  }
  return makedev(attr.stx_dev_major, attr.stx_dev_minor);
}

bool libfuse_allows_idmapped() { return LAYERFS_LIBFUSE_HAS_IDMAP != 0; }

void raise_read_ahead(dev_t device) {
  const std::string path = bdi_path(device) + "/read_ahead_kb";
  const sys::UniqueFd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!file) return;
  const std::string size = std::to_string(kLargestRequest / 1024);
  // Only speed depends on it.
  [[maybe_unused]] const ssize_t written = ::write(file.get(), size.data(), size.size());
}

}  // namespace layerfs::fuse
