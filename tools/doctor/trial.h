// A mount that is made to see whether it works.
#pragma once

#include <string>

#include "fs/sys/failure.h"

namespace layerfs::tools {

// Mounts an empty directory read-only in a fresh directory below $TMPDIR or /tmp, reads it, and
// ends the mount. Returns how it was served, as Session::description() has it. Must be called
// before the process starts threads.
Outcome<std::string> try_mount();

}  // namespace layerfs::tools
