// How the inode of a node is reached that has no place.
#pragma once

#include <mutex>
#include <optional>

#include <absl/container/flat_hash_map.h>

#include "fs/sys/file_handle.h"
#include "fs/sys/result.h"
#include "fs/sys/unique_fd.h"
#include "fs/tree/dir_fds.h"
#include "fs/tree/node.h"
#include "fs/tree/removed_fds.h"

namespace layerfs::tree {

// For each node that is kDetached and in the upper, its inode: a descriptor where the inode has no
// name, else the handle that the upper's file system gives it, which costs nothing. Thread-safe: a
// descriptor that was given out stays open, whatever happens here.
class Unplaced {
 public:
  // Handles are decoded on the file system of `root`, open and not O_PATH; empty where there is no
  // upper.
  void set_root(sys::UniqueFd root) { root_ = std::move(root); }

  // Keeps a descriptor (O_PATH or open), instead of what was kept of that node.
  void keep(NodeId id, FdRef fd);
  void keep(NodeId id, sys::UniqueFd fd);
  // Keeps the handle of `name` in `dirfd`, or of `dirfd` itself, if open() can use it; false if not
  // (no privilege, or the file system has none).
  bool keep_by_handle(NodeId id, int dirfd, const char* name);
  // Keeps a handle that open() has taken.
  void keep(NodeId id, sys::FileHandle handle);
  // The node `to` is reached as `from` is.
  void copy(NodeId from, NodeId to);
  void erase(NodeId id) noexcept;

  // ESTALE if nothing is kept, or the inode is gone.
  Result<FdRef> open(NodeId id) const;
  // O_PATH. ESTALE if the inode is gone; EPERM without CAP_DAC_READ_SEARCH.
  Result<FdRef> open(const sys::FileHandle& handle) const;
  // What open() would use; nothing if that is a descriptor.
  std::optional<sys::FileHandle> handle(NodeId id) const;

  RemovedFds& descriptors() { return descriptors_; }
  const RemovedFds& descriptors() const { return descriptors_; }

 private:
  struct Way {
    FdRef fd;  // null: by the handle
    sys::FileHandle handle;
  };
  void put(NodeId id, Way way);

  sys::UniqueFd root_;
  RemovedFds descriptors_;
  mutable std::mutex mutex_;
  absl::flat_hash_map<NodeId, Way> ways_;
};

}  // namespace layerfs::tree
