// Ending mounts.
#pragma once

#include <string>
#include <vector>

#include "fs/sys/failure.h"
#include "tools/runtime_state.h"

namespace layerfs::tools {

// Unmounts and, unless `lazy`, waits until the daemon has ended, so that the directories below are
// free when it returns. EBUSY: somebody uses it.
Outcome<void> unmount_one(const LiveMount& mount, bool lazy);

// The topmost of `mounts` (as live_mounts() lists them) whose mount point is `path`.
Outcome<LiveMount> find_mount(const std::vector<LiveMount>& mounts, const std::string& path);

}  // namespace layerfs::tools
