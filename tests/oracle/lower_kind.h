// What the lower layers of a case lie on.
#pragma once

#include <string>

#include "fs/sys/failure.h"

namespace layerfs::oracle {

enum class LowerKind {
  kDirectory,  // on the scratch file system, as the upper
  kSubvolume,  // of the scratch file system, a btrfs: each numbers its files alike
  kTmpfs,      // one for each layer, which number alike, too
  kSquashfs,   // an image for each layer
  kErofs,
};

// "directory", "subvolume", "tmpfs", "squashfs" or "erofs".
Outcome<LowerKind> parse_lower_kind(const std::string& name);

// Makes the directory `path` where a layer of this kind can be built.
Outcome<void> begin_lower(LowerKind kind, const std::string& path);

// Makes the layer that was built at `path` one of its kind, at the same path.
Outcome<void> finish_lower(LowerKind kind, const std::string& path);

// Unmounts what was mounted at `path`.
void release_lower(LowerKind kind, const std::string& path);

}  // namespace layerfs::oracle
