// Making a mount as a command line asked for it.
#pragma once

#include <string>

#include "fs/sys/failure.h"
#include "tools/io.h"
#include "tools/mount_options.h"

namespace layerfs::tools {

// One mount as it was asked for.
struct MountOrder {
  MountRequest request;
  std::string image;  // empty if the options name layers or a snapshot
  std::string root;   // the store
  bool foreground = false;
};

// What a mount writes to.
struct Mounted {
  std::string snapshot;          // empty: plain directories, or read-only
  bool snapshot_is_new = false;  // it was made for this mount
};

// Makes the mount and serves it until its end (`foreground`), or leaves a daemon that does. On
// failure nothing is mounted, and a snapshot that was made for it is removed. Must be called before
// the process starts threads.
Outcome<Mounted> carry_out(MountOrder mount, Io& io);

}  // namespace layerfs::tools
