// Directories of a union that lie within each other.
#pragma once

#include "fs/sys/failure.h"
#include "fs/tree/stack.h"

namespace layerfs::tree {

// Refuses, with ELOOP as kernel overlayfs, directories of a union that are the same or lie within
// each other: two lower ones, or the upper or work directory and a lower one, where what is written
// to the upper would change a lower. Goes by what the file system says, not by names. A directory
// that cannot be looked at is passed over. Writes nothing.
Outcome<void> check_apart(const StackOptions& options);

}  // namespace layerfs::tree
