// What a tree takes on the disk.
#pragma once

#include "fs/sys/result.h"
#include "snapshotter/info.h"

namespace layerfs::snapshotter {

// Of the directory `dirfd` (borrowed) and all below it, on its file system; an inode counts once,
// however many names it has. What vanishes meanwhile does not count. However deep the tree is, only
// a few descriptors are open.
Result<Usage> disk_usage(int dirfd);

}  // namespace layerfs::snapshotter
