#include "tools/unmounting.h"

#include <cerrno>

#include <fmt/format.h>

#include "fs/fuse/kernel_mount.h"

namespace layerfs::tools {

namespace {

// A daemon that does not end by then is stuck in its file system's own system calls.
constexpr int kPatienceSeconds = 30;

}  // namespace

Outcome<void> unmount_one(const LiveMount& mount, bool lazy) {
  const std::string& mountpoint = mount.record.mountpoint;
  const auto unmounted = fuse::unmount(mountpoint, lazy);
  if (!unmounted && unmounted.error().code == EBUSY) {
    return refuse(fmt::format("{} is in use; end what uses it (`fuser -vm {}` shows it), or give "
                              "--lazy",
                              mountpoint, mountpoint),
                  EBUSY);
  }
  LAYERFS_TRY(unmounted);
  // So that the directories below are free when the command returns.
  if (!lazy && mount.record.pid > 0 && !wait_for_end(mount.record.pid, kPatienceSeconds)) {
    return refuse(
        fmt::format("{0} is unmounted here, but somebody else still uses it: another mount "
                    "namespace (a container that was started meanwhile), or what was "
                    "unmounted lazily below it. Its daemon (process {1}) ends when they "
                    "let go; `grep {0} /proc/[0-9]*/mountinfo` shows who they are",
                    mountpoint, mount.record.pid),
        EBUSY);
  }
  return {};
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
