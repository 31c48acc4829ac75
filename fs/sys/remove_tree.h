// Removing a directory with all that it holds.
#pragma once

#include "fs/sys/result.h"

namespace layerfs::sys {

// Removes `name` in `dirfd`, whatever it is, with all below; a directory that denies its owner
// everything too. Takes time in proportion to the number of entries, and a few descriptors, however
// deep the tree is. Follows no symlink, and leaves alone what is moved out of the tree meanwhile.
// ENOENT: it is not there. After another error what could not be removed is left.
Result<void> remove_tree(int dirfd, const char* name);

}  // namespace layerfs::sys
