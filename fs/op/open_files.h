// The I/O states of open nodes (doc/tree.md).
#pragma once

#include <array>
#include <mutex>

#include "fs/op/backing.h"
#include "fs/op/file_system.h"
#include "fs/op/types.h"
#include "fs/tree/tree.h"

namespace layerfs::op {

// Decides for each open whether the kernel reads and writes the file itself (passthrough) or asks
// the daemon (cached), such that all opens of a node agree, and keeps the descriptor that a node's
// data comes from: after a copy-up every open, old or new, reads the upper file. Thread-safe.
class OpenFiles {
 public:
  OpenFiles(tree::Tree& tree, PassthroughPolicy policy) : tree_(tree), policy_(policy) {}

  void set_backing(Backing* backing) { backing_ = backing; }

  // One more open of `node`, whose data is in the upper if `write`. `opened`, if it holds one, is a
  // descriptor of the data, open O_RDWR. ESTALE if the node's open descriptors read a lower file
  // that the kernel holds on to: another node has its name from now on.
  Result<Opened> acquire(tree::Node& node, bool write, sys::UniqueFd opened = {});

  // One open less.
  void release(tree::Node& node) noexcept;

  // What reads are served from. If the node is not open, a descriptor for this call alone.
  Result<tree::DataFd> data(tree::Node& node);
  // The same, for writing.
  Result<tree::DataFd> writable_data(tree::Node& node);

  // To be called after a copy-up of data: what is open follows.
  Result<void> follow_copy_up(tree::Node& node);

 private:
  std::mutex& guard(const tree::Node& node) { return guards_[node.id % guards_.size()].mutex; }
  Result<void> start(tree::Node& node, tree::OpenFile& file, bool write, sys::UniqueFd opened);
  Result<void> refresh(tree::Node& node, tree::OpenFile& file, bool write);
  bool wants_passthrough(const tree::Node& node, const tree::OpenFile& file) const;

  struct alignas(64) Guard {
    std::mutex mutex;
  };
  tree::Tree& tree_;
  const PassthroughPolicy policy_;
  Backing* backing_ = nullptr;
  std::array<Guard, 64> guards_;
};

}  // namespace layerfs::op
