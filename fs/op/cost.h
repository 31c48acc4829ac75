// Which operations sleep: copy much data, wait for the disk or for others. Hints for who has
// threads to spare; a wrong one costs time and nothing else.
#pragma once

#include <sys/types.h>

#include <optional>

#include "fs/op/file_system.h"
#include "fs/op/types.h"

namespace layerfs::op {

// An open with these flags copies a large file up.
bool open_copies_much(FileSystem& fs, NodeId node, int flags);

// A change of attributes copies a large file up: its data up to `size` if that is given, else all
// of it on a mount without metacopy.
bool change_copies_much(FileSystem& fs, NodeId node, std::optional<off_t> size);

// unlink(), rmdir() and rename() wait until removed files have given their descriptors back.
bool removal_waits(const FileSystem& fs);

// Whether a layer lies on a file system that a program or another machine serves (FUSE, NFS and the
// like), so that any question to it may be answered late or never.
bool layers_may_sleep(const FileSystem& fs);

}  // namespace layerfs::op
