// Directory listings, without handles: a cookie means the same for every reader, at any time.
#pragma once

#include <functional>
#include <string_view>

#include "fs/op/file_system.h"
#include "fs/op/types.h"

namespace layerfs::op {

struct DirEntry {
  std::string_view name;
  ino_t ino;             // equals st_ino
  unsigned char type;    // DT_*
  std::uint64_t cookie;  // passed back to go on behind this entry
};

// Takes one entry; false says that it did not fit and was not taken.
using DirSink = std::function<bool(const DirEntry&)>;

// The entries behind `cookie` (0 is the start), "." and ".." first, until `sink` says false. An
// entry that stays is listed exactly once whatever else changes meanwhile.
Result<void> readdir(FileSystem& fs, NodeId node, std::uint64_t cookie, const DirSink& sink);

// What a listing looks up. Regular files are left out where the kernel believes no size but the
// first that it is told of an inode (writeback cache): a listing's may be old when the kernel takes
// it in (doc/tree.md).
enum class ListedAttr { kOfAll, kButOfFiles };

// The same with each entry looked up; entry.node is 0 for "." and "..", for what is left out, and
// for one that vanished. An entry that the sink takes owes a forget() if its node is not 0; one it
// refuses owes nothing.
using DirPlusSink = std::function<bool(const DirEntry&, const Entry&)>;
Result<void> readdirplus(FileSystem& fs, NodeId node, std::uint64_t cookie, ListedAttr wanted,
                         const DirPlusSink& sink);

// A no-op on a volatile mount, and where the directory is not in the upper.
Result<void> fsyncdir(FileSystem& fs, NodeId node, bool data_only);

}  // namespace layerfs::op
