// One daemon at a time uses a work directory, and the upper that belongs to it.
#pragma once

#include <string>

#include "fs/sys/failure.h"
#include "fs/sys/unique_fd.h"

namespace layerfs::tree {

// Takes the lock on a work directory for as long as `root` stays open. `path` is for messages.
//
// Waits while the daemon that has the lock is ending: it has announced so, by a second lock, and
// both go with its process, however that ends. Where none is announced the mount is in use, and the
// answer is EBUSY after two seconds: umount(2) returns before the daemon has heard of it.
Outcome<void> lock_work_dir(int root, const std::string& path);

// Takes the lock on an upper, the directory `root`, for as long as that stays open: whatever their
// work directories, two daemons that write one upper would each be wrong about it. To be called
// with the lock on the work directory, so that whoever announced the end of the mount before has
// given back both or is about to. EBUSY after two seconds.
Outcome<void> lock_upper(int root, const std::string& path);

// Announces that the caller, who has the lock, serves nobody any more and will give it back by
// itself. `work` is open on work/ in the work directory; the announcement stands until it is
// closed.
void announce_end(int work) noexcept;

}  // namespace layerfs::tree
