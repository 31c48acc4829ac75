// What tells one inode from all others, as long as it exists.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <utility>

namespace layerfs::tree {

// An inode of a layer: the device that stat(2) gives for the inode itself, which need not be that
// of its layer's root, and its number there. A file system that shows one pair for two files (a
// stacked one may) is not to be trusted with this: FileSystems::tells_inodes_apart().
struct InodeId {
  dev_t device = 0;
  ino_t number = 0;

  static InodeId of(const struct stat& st) { return {st.st_dev, st.st_ino}; }

  friend bool operator==(const InodeId&, const InodeId&) = default;

  template <typename H>
  friend H AbslHashValue(H hash, const InodeId& inode) {
    return H::combine(std::move(hash), inode.device, inode.number);
  }
};

}  // namespace layerfs::tree
