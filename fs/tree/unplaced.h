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
// descriptor that was given out stays open, whatever happens here. Nodes are told apart by where
// they are, for another one may get the id of one that is about to go.
class Unplaced {
 public:
  // Handles are decoded on the file system of `root`, open and not O_PATH; empty where there is no
  // upper.
  void set_root(sys::UniqueFd root) { root_ = std::move(root); }

  // Keeps a descriptor (O_PATH or open), instead of what was kept of that node.
  void keep(const Node& node, FdRef fd);
  void keep(const Node& node, sys::UniqueFd fd);
  // Keeps the handle of `name` in `dirfd`, or of `dirfd` itself, if open() can use it; false if not
  // (no privilege, or the file system has none).
  bool keep_by_handle(const Node& node, int dirfd, const char* name);
  // Keeps a handle that open() has taken.
  void keep(const Node& node, sys::FileHandle handle);
  // The node `to` is reached as `from` is.
  void copy(const Node& from, const Node& to);
  void erase(const Node& node) noexcept;

  // ESTALE if nothing is kept, or the inode is gone.
  Result<FdRef> open(const Node& node) const;
  // O_PATH. ESTALE if the inode is gone; EPERM without CAP_DAC_READ_SEARCH.
  Result<FdRef> open(const sys::FileHandle& handle) const;
  // What open() would use; nothing if that is a descriptor.
  std::optional<sys::FileHandle> handle(const Node& node) const;

  RemovedFds& descriptors() { return descriptors_; }
  const RemovedFds& descriptors() const { return descriptors_; }

 private:
  struct Way {
    FdRef fd;  // null: by the handle
    sys::FileHandle handle;
  };
  void put(const Node& node, Way way);

  sys::UniqueFd root_;
  RemovedFds descriptors_;
  mutable std::mutex mutex_;
  absl::flat_hash_map<const Node*, Way> ways_;
};

}  // namespace layerfs::tree
