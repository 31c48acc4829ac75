// The mark that overlayfs leaves on an upper that was mounted with the option volatile: the
// directory work/incompat/volatile (overlayfs documentation, "Volatile mount").
#pragma once

#include <string>

#include "fs/sys/failure.h"

namespace layerfs::tree {

inline constexpr const char* kIncompat = "incompat";

// Whether what the volatile mounts before wrote into the upper is whole. Nothing that was not
// synced is lost while the system runs, whatever becomes of a daemon; so layerfs writes into the
// mark which boot it is of, and the upper may be used again until the next one. Refuses a mark of
// another boot, and one of the kernel's, which does not say. `work` is a descriptor of work/ in the
// work directory `path`.
Outcome<void> check_volatile_mark(int work, const std::string& path);

// Leaves the mark, before anything is written that is not synced. Its presence makes the kernel's
// overlayfs refuse the upper.
Outcome<void> leave_volatile_mark(int work, const std::string& path);

// Brings what earlier volatile mounts wrote to the disk, if there were any, and removes the mark.
Outcome<void> settle_volatile_mark(int work, const std::string& path);

}  // namespace layerfs::tree
