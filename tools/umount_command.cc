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
  for (const LiveMount& mount : chosen) {
    if (const auto done = unmount_one(mount, lazy); !done) status = report(io, done.error());
  }
  return status;
}

}  // namespace layerfs::tools
