// Ending mounts.
#pragma once

#include <string>
#include <vector>

#include "fs/fuse/kernel_mount.h"
#include "fs/sys/failure.h"
#include "tools/runtime_state.h"

namespace layerfs::tools {

// Unmounts and, unless it is done lazily, waits until the daemon has ended: what was written is on
// the disk then, and the directories below are free. EBUSY: somebody uses it.
Outcome<void> unmount_one(const LiveMount& mount, fuse::Unmount how);

// The topmost of `mounts` (as live_mounts() lists them) whose mount point is `path`.
Outcome<LiveMount> find_mount(const std::vector<LiveMount>& mounts, const std::string& path);

}  // namespace layerfs::tools
