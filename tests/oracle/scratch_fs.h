// A file system of our own for the layers: real, with xattrs, and gone when the process is.
#pragma once

#include <string>

#include "fs/sys/failure.h"
#include "tests/support/temp_dir.h"

namespace layerfs::oracle {

// Gives the calling process a mount namespace of its own, so that nothing it mounts is seen by, or
// outlives, anything else. Needs root.
Outcome<void> isolate_mounts();

// An image file below $TMPDIR, loop-mounted without atime updates. The image has no name once it is
// mounted: whatever ends the process frees it. Call isolate_mounts() before.
class ScratchFs {
 public:
  // `type` is "ext4", "xfs" or "btrfs". Throws std::runtime_error if it cannot be made.
  explicit ScratchFs(const std::string& type);

  const std::string& path() const { return path_; }

 private:
  test::TempDir dir_;
  std::string path_;
};

// One such ext4 for the whole of a test program, which gets a mount namespace of its own first.
// Throws std::runtime_error if either cannot be made.
const std::string& isolated_ext4();

}  // namespace layerfs::oracle
