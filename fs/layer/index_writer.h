// Makes the index of a layer that lies finished in a directory.
#pragma once

#include "fs/layer/whiteouts.h"
#include "fs/sys/failure.h"

namespace layerfs::layer {

// Reads the directory `tree` (any descriptor of it) with all below and publishes its index as
// `name` in the directory `dirfd` (open for reading), which must not be within the layer: written
// to a temporary beside it, synced, renamed. The layer's data should be on the disk before, so that
// st_blocks is final. `user_xattr`: the layer's marks are in user.overlay.*. Refuses a layer with
// another mount in it, or whose marks are not understood.
Outcome<void> write_index(int tree, int dirfd, const char* name, bool user_xattr,
                          Whiteouts whiteouts = Whiteouts::kOverlay);

}  // namespace layerfs::layer
