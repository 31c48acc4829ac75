// What a container needs on this machine while it runs, and its removal.
#pragma once

#include <optional>
#include <string>

#include "fs/sys/failure.h"
#include "tools/container/runtime.h"
#include "tools/io.h"

namespace layerfs::tools {

// Things that were made for one container; clean() removes those that are there, in the order in
// which they need each other.
struct ContainerPlace {
  std::string store;             // its root
  std::string bundle;            // directory; empty: none was made
  bool remove_directory = true;  // not only what is in it
  bool mounted = false;          // on the bundle's rootfs
  std::string snapshot;          // to remove; empty: none, or it is to be kept
  std::optional<Runtime> runtime;
  std::string name;  // of the container; empty: it was never started

  // What cannot be removed is a warning.
  void clean(Io& io);

  // Only that: unmounts the rootfs and waits for the daemon's end. A rootfs in use is unmounted
  // lazily, and EBUSY is returned.
  Outcome<void> unmount();
};

enum class RootfsUse {
  kRead,
  kKeep,       // writable
  kThrowAway,  // writable, and nothing of it need ever reach the disk
};

// Mounts the image on the bundle's rootfs, over the snapshot of that name or, if it is empty, a
// fresh one, unless it is only read; notes it in `place`. Returns the snapshot's name.
Outcome<std::string> mount_rootfs(ContainerPlace& place, const std::string& image,
                                  const std::string& snapshot, RootfsUse use, Io& io);

// Mounts that this process makes from now on are its own and its children's: no other process that
// makes a mount namespace meanwhile keeps them alive. Nothing happens without the privilege.
void keep_mounts_to_oneself();

}  // namespace layerfs::tools
