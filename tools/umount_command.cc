#include <algorithm>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "fs/fuse/kernel_mount.h"
#include "tools/command_line.h"
#include "tools/mount_commands.h"
#include "tools/runtime_state.h"

namespace layerfs::tools {

namespace {

// A daemon that does not end by then is stuck in its file system's own system calls.
constexpr int kPatienceSeconds = 30;

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

// The topmost mount there.
Outcome<LiveMount> find_mount(const std::vector<LiveMount>& mounts, const std::string& path) {
  const std::string mountpoint = absolute_mountpoint(path);
  for (auto mount = mounts.rbegin(); mount != mounts.rend(); ++mount) {
    if (mount->record.mountpoint == mountpoint) return *mount;
  }
  return refuse(fmt::format("{} is not a mount of layerfs; `layerfs ps` lists them", mountpoint),
                EINVAL);
}

}  // namespace

int run_umount(const Args& args, Io& io) {
  CLI::App app("Unmount, and wait until all is written and the daemon has ended", "layerfs umount");
  std::vector<std::string> directories;
  bool all = false;
  bool lazy = false;
  app.add_option("DIR", directories, "Mount points");
  app.add_flag("--all,-a", all, "Every mount of layerfs");
  app.add_flag("--lazy,-l", lazy, "Take it out of sight now, end when the last user is gone");
  if (const auto status = parse(app, args, io)) return *status;
  if (directories.empty() != all) {
    report(io, "say which mount points to unmount, or --all");
    return kUsage;
  }

  const auto mounts = live_mounts();
  if (!mounts) return report(io, mounts.error());
  int status = kDone;
  std::vector<LiveMount> chosen(mounts->rbegin(), mounts->rend());  // what lies on top first
  if (!all) {
    chosen.clear();
    for (const std::string& directory : directories) {
      if (auto found = find_mount(*mounts, directory)) {
        chosen.push_back(*std::move(found));
      } else {
        status = report(io, found.error());
      }
    }
  }
  for (const LiveMount& mount : chosen) {
    if (const auto done = unmount_one(mount, lazy); !done) status = report(io, done.error());
  }
  return status;
}

}  // namespace layerfs::tools
