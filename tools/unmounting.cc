#include "tools/unmounting.h"

#include <cerrno>

#include <fmt/format.h>

namespace layerfs::tools {

namespace {

// A daemon that does not end by then is stuck in its file system's own system calls.
constexpr int kPatienceSeconds = 300;

// Waits for what follows the unmounting, if it was the last of that mount.
Outcome<void> await_end(const LiveMount& mount) {
  const std::string& mountpoint = mount.record.mountpoint;
  if (mount.record.pid <= 0) return {};
  if (fuse::is_mounted_anywhere(mount.record.device)) {
    return refuse(
        fmt::format("{0} is unmounted here, but somebody else still uses it: another mount "
                    "namespace (a container that was started meanwhile), or what was "
                    "unmounted lazily below it. Its daemon (process {1}) ends when they "
                    "let go; `grep {0} /proc/[0-9]*/mountinfo` shows who they are",
                    mountpoint, mount.record.pid),
        EBUSY);
  }
  if (wait_for_end(mount.record.pid, kPatienceSeconds)) return {};
  return refuse(fmt::format("{} is unmounted, but after {} s its daemon (process {}) still waits "
                            "for the disk",
                            mountpoint, kPatienceSeconds, mount.record.pid),
                EBUSY);
}

}  // namespace

Outcome<void> unmount_one(const LiveMount& mount, fuse::Unmount how) {
  const std::string& mountpoint = mount.record.mountpoint;
  const auto unmounted = fuse::unmount(mountpoint, how);
  if (!unmounted && unmounted.error().code == EBUSY) {
    return refuse(fmt::format("{} is in use; end what uses it (`fuser -vm {}` shows it), or give "
                              "--lazy",
                              mountpoint, mountpoint),
                  EBUSY);
  }
  LAYERFS_TRY(unmounted);
  if (how == fuse::Unmount::kLazy) return {};
  return await_end(mount);
}

Outcome<LiveMount> find_mount(const std::vector<LiveMount>& mounts, const std::string& path) {
  const std::string mountpoint = absolute_mountpoint(path);
  for (auto mount = mounts.rbegin(); mount != mounts.rend(); ++mount) {
    if (mount->record.mountpoint == mountpoint) return *mount;
  }
  return refuse(fmt::format("{} is not a mount of layerfs; `layerfs ps` lists them", mountpoint),
                EINVAL);
}

}  // namespace layerfs::tools
