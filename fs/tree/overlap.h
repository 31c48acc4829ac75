// Directories of a union that lie within each other.
#pragma once

#include "fs/sys/failure.h"
#include "fs/tree/stack.h"

namespace layerfs::tree {

// Refuses, with ELOOP as kernel overlayfs, an upper or work directory that is a lower one, lies
// below one or has one below it: what is written to the upper would change a lower. Goes by what
// the file system says, not by names. A directory that cannot be looked at is passed over. Writes
// nothing.
Outcome<void> check_apart(const StackOptions& options);

}  // namespace layerfs::tree
