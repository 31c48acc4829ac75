#include <algorithm>
#include <string>
#include <vector>

#include "tools/command_line.h"
#include "tools/mount_commands.h"
#include "tools/runtime_state.h"
#include "tools/unmounting.h"

namespace layerfs::tools {

int run_umount(const Args& args, Io& io) {
  CommandLine line("Unmount, and wait until all is written and the daemon has ended",
                   "layerfs umount");
  std::vector<std::string> directories;
  bool all = false;
  bool lazy = false;
  line.add_option("DIR", directories, "Mount points");
  line.add_flag("--all,-a", all, "Every mount of layerfs");
  line.add_flag("--lazy,-l", lazy, "Take it out of sight now, end when the last user is gone");
  if (const auto status = line.parse(args, io)) return *status;
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
  const auto how = lazy ? fuse::Unmount::kLazy : fuse::Unmount::kNow;
  for (const LiveMount& mount : chosen) {
    if (const auto done = unmount_one(mount, how); !done) status = report(io, done.error());
  }
  return status;
}

int run_umount_helper(const Args& args, Io& io) {
  std::string directory;
  auto how = fuse::Unmount::kNow;
  for (std::size_t i = 0; i < args.size(); ++i) {
    const std::string& arg = args[i];
    if (arg == "-l") {
      how = fuse::Unmount::kLazy;
    } else if (arg == "-f") {
      how = fuse::Unmount::kForced;
    } else if (arg == "-t" || arg == "-N" || arg == "-o") {
      ++i;  // the type is known, and a namespace has been entered already
    } else if (!arg.starts_with('-')) {
      directory = arg;
    }  // else -n, -r, -v: they change nothing
  }
  if (directory.empty()) {
    report(io, "an unmount helper is called with DIR");
    return kUsage;
  }
  const auto mounts = live_mounts();
  const auto mount = mounts ? find_mount(*mounts, directory)
                            : Outcome<LiveMount>(tl::make_unexpected(mounts.error()));
  // A bind mount of a part, for one, has no record: unmounting is all there is to do.
  auto done = mount ? unmount_one(*mount, how) : fuse::unmount(directory, how);
  // umount(8) is done when it is unmounted here, whoever shows it elsewhere.
  const bool mounted_elsewhere = !done && mount && done.error().code == EBUSY &&
                                 fuse::device_of(directory) != mount->record.device;
  return done || mounted_elsewhere ? kDone : report(io, done.error());
}

}  // namespace layerfs::tools
