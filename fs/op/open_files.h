// The I/O states of open nodes (doc/tree.md).
#pragma once

#include <array>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include <absl/container/flat_hash_map.h>

#include "fs/op/backing.h"
#include "fs/op/file_system.h"
#include "fs/op/open_file.h"
#include "fs/op/types.h"
#include "fs/tree/tree.h"

namespace layerfs::op {

// Whether open(2) with these flags may change the file.
bool opens_for_writing(int flags);

// What the kernel does when an open is answered ESTALE.
enum class Walk {
  kMayBeRepeated,     // it may walk a path to another node
  kCannotBeRepeated,  // it has come back to this node
};

// Decides for each open whether the kernel reads and writes the file itself (passthrough) or asks
// the daemon (cached), such that all opens of a node agree, and keeps the descriptor that a node's
// data comes from: after a copy-up every open, old or new, reads the upper file. What a node that
// was read had registered with the kernel is kept for a while after its last release, since
// registering costs more than opening. Thread-safe.
class OpenFiles {
 public:
  OpenFiles(tree::Tree& tree, PassthroughPolicy policy) : tree_(tree), policy_(policy) {}
  ~OpenFiles();
  OpenFiles(const OpenFiles&) = delete;
  OpenFiles& operator=(const OpenFiles&) = delete;

  void set_backing(Backing* backing) { backing_ = backing; }

  // One more open of `node` with the `flags` of open(2); its data is in the upper if they are for
  // writing. `opened`, if it holds one, is a descriptor of the data, open O_RDWR, of a new file.
  // EPERM if the file is immutable, or append-only and to be opened otherwise. ESTALE if the node's
  // open descriptors read a lower file that the kernel holds on to: another node has its name from
  // now on. Where the walk cannot be repeated a further descriptor for reading reads the same lower
  // file.
  Result<Opened> acquire(tree::Node& node, int flags, Walk walk, sys::UniqueFd opened = {});

  // One open less.
  void release(tree::Node& node) noexcept;

  // The node of this id is gone: nothing of it is kept.
  void forget(NodeId id) noexcept;

  // What reads are served from. If the node is not open, a descriptor for this call alone.
  Result<DataFd> data(tree::Node& node);
  // The same, for writing.
  Result<DataFd> writable_data(tree::Node& node);

  // The size of the lower file that the open descriptors of a superseded node read; nothing if they
  // read what is in the upper, or there are none.
  std::optional<DataSize> outdated_size(const tree::Node& node);

  // To be called after a copy-up of data: what is open follows.
  Result<void> follow_copy_up(tree::Node& node);

 private:
  // A node's file after its last release.
  struct Kept {
    NodeId id;
    std::unique_ptr<OpenFile> file;
  };
  struct alignas(64) Guard {
    std::mutex mutex;
    absl::flat_hash_map<NodeId, std::unique_ptr<OpenFile>> open;
    // Of the nodes that this guards, used last first; at most kKeptPerGuard.
    std::vector<Kept> kept;
  };
  static constexpr std::size_t kKeptPerGuard = 6;

  Guard& guard(NodeId id) { return guards_[id % guards_.size()]; }
  Guard& guard(const tree::Node& node) { return guard(node.id); }
  // Null while the node is not open.
  static OpenFile* open_file(Guard& guard, const tree::Node& node);
  Result<void> open_node(Guard& guard, tree::Node& node, bool write, sys::UniqueFd opened);
  Result<void> start(tree::Node& node, OpenFile& file, bool write, sys::UniqueFd opened);
  Result<bool> resume(Guard& guard, tree::Node& node, bool write);
  Result<void> refresh(tree::Node& node, OpenFile& file, bool write);
  Result<DataFd> opened_data(tree::Node& node, int flags);
  Result<void> allow_write(tree::Node& node, OpenFile& file, int flags);
  Result<void> allow(tree::Node& node, OpenFile& file, int flags, bool created, Walk walk);
  Result<void> allow_direct(tree::Node& node, OpenFile& file, int flags);
  // Nothing if only the data can tell.
  std::optional<bool> wants_passthrough(const tree::Node& node, const OpenFile& file) const;
  // The node is pinned while it is open, for the kernel may forget it before it tells of the last
  // release.
  void enter(Guard& guard, tree::Node& node, std::unique_ptr<OpenFile> file);
  std::unique_ptr<OpenFile> leave(Guard& guard, tree::Node& node) noexcept;
  std::unique_ptr<OpenFile> take_kept(Guard& guard, NodeId id) noexcept;
  std::unique_ptr<OpenFile> keep(Guard& guard, NodeId id, std::unique_ptr<OpenFile> file) noexcept;
  void end(std::unique_ptr<OpenFile> file) noexcept;

  tree::Tree& tree_;
  const PassthroughPolicy policy_;
  Backing* backing_ = nullptr;
  std::array<Guard, 64> guards_;
};

}  // namespace layerfs::op
