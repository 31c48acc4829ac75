// Which operations sleep: copy much data or wait for the disk. Hints for who has threads to spare;
// a wrong one costs time and nothing else.
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

}  // namespace layerfs::op
