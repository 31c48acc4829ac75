// Writes the lower layers of a case as directories.
#pragma once

#include <string>

#include "fs/sys/failure.h"
#include "tests/oracle/case.h"

namespace layerfs::oracle {

// Fills the existing, empty directory `dir` with `layer`. Entries that cannot exist (a hard link
// without its target) are left out, so that any subset of a layer can be built. `userxattr` puts
// overlay marks into `user.`.
Outcome<void> build_layer(const LayerTree& layer, const std::string& dir, Encoding encoding,
                          bool userxattr);

// Turns the `.wh.` names of a layer built with Encoding::kAufs into 0:0 devices and opaque xattrs,
// in place: every other inode stays, and directories keep their times.
Outcome<void> reencode_as_devices(const LayerTree& layer, const std::string& dir, bool userxattr);

}  // namespace layerfs::oracle
