// Which names of a layer are whiteouts: a property of the layer as a whole (doc/formats.md).
#pragma once

#include <optional>
#include <string_view>

#include "fs/sys/result.h"

namespace layerfs::layer {

enum class Whiteouts {
  kOverlay,  // 0:0 devices, and xattrs; `.wh.NAME` is a name like any other
  kAufs,     // those, and `.wh.NAME` and `.wh..wh..opq`, which are no names then
};

// By the names that people give them, "overlay" and "aufs".
std::optional<Whiteouts> whiteouts_named(std::string_view name);

// Who wrote the lower layer whose root is the directory `root` (any descriptor of it) decides:
// kAufs if containers-storage unpacked it. Asks nothing of the layer's own content, which whoever
// writes through a mount may have made: only what lies beside it. The errno of a look that failed;
// what the caller may not search is no layer of containers-storage.
Result<Whiteouts> find_whiteouts(int root);

// The same for an upper. One that a mount is about to be given has no records of its own yet, where
// a lower layer without them is taken for one that was unpacked.
Result<Whiteouts> find_upper_whiteouts(int root);

}  // namespace layerfs::layer
