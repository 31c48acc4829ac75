// Names to nodes, and their end.
#pragma once

#include <string_view>

#include "fs/op/file_system.h"
#include "fs/op/types.h"

namespace layerfs::op {

// Resolves `name` in directory `parent` and counts one lookup on the node. ENOENT for a name that
// is not there or is whited out; that answer stays true until a request of this mount changes it.
// "." and ".." are asked by an NFS server only and are answered too.
Result<Entry> lookup(FileSystem& fs, NodeId parent, std::string_view name);

// Takes `count` lookups back. A node without lookups, open handles and children is dropped.
void forget(FileSystem& fs, NodeId node, std::uint64_t count) noexcept;

}  // namespace layerfs::op
