// Where the nodes are that the kernel has forgotten.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <vector>

#include "fs/sys/file_handle.h"
#include "fs/tree/node.h"

namespace layerfs::tree {

// A node that was dropped while its name stayed: a file handle may still name it by its id, and it
// is found by its place. One that lost the only name that was known of it, while it has others, is
// found by the upper file's own handle.
struct ForgottenNode {
  NodeId id = 0;
  ino_t ino = 0;
  NodeId parent = 0;      // 0: it has no known place
  std::uint64_t key = 0;  // of its entry in the parent's Directory
};

// The forgotten nodes, less than 50 bytes each, of which only so many are kept. A lost one costs a
// handle its validity and nothing else, for ids are never given twice. Thread-safe.
class Forgotten {
 public:
  explicit Forgotten(std::uint32_t most = std::uint32_t{1} << 20) : most_(most) {}
  Forgotten(const Forgotten&) = delete;
  Forgotten& operator=(const Forgotten&) = delete;

  // Instead of what was known of that ino; if there are too many, instead of another node.
  void remember(const ForgottenNode& node) noexcept { remember(node, nullptr); }
  // The same of a node without a known place.
  void remember(NodeId id, ino_t ino, const sys::FileHandle& handle) noexcept {
    remember({id, ino, 0, 0}, &handle);
  }

  std::optional<ForgottenNode> find(NodeId id) const;
  // What it was remembered with if it has no known place.
  std::optional<sys::FileHandle> handle(NodeId id) const;

  // The id that the inode `node.ino` had, if it was at the place of `node`, had none, or was
  // anywhere with `any_place`. It is not remembered any more.
  std::optional<NodeId> take(const ForgottenNode& node, bool any_place) noexcept;

  // There is no such inode any more.
  void erase(ino_t ino) noexcept;

  std::size_t size() const { return size_.load(std::memory_order_acquire); }

 private:
  using Slot = std::uint32_t;  // 0: none
  struct Record {
    ForgottenNode node;
    Slot next_by_id = 0;
    Slot next_by_ino = 0;
  };
  // Hash tables of chains that run through the records. records[0] is not used.
  struct Table {
    std::vector<Slot> by_id, by_ino;  // heads of the chains, as many of both
    std::deque<Record> records;
    Slot free = 0;  // head of the chain, by next_by_id, of records given back
    Slot& id_head(NodeId id) { return by_id[id & (by_id.size() - 1)]; }
    Slot& ino_head(ino_t ino);
    // Writes `slot` and puts it into its chains.
    void put(Slot slot, const ForgottenNode& node);
  };
  static constexpr std::size_t kSmallest = 256;

  void remember(const ForgottenNode& node, const sys::FileHandle* handle) noexcept;
  Slot find_ino(ino_t ino);
  Slot new_slot();
  void remove(Slot slot);
  void add_heads();

  const std::uint32_t most_;
  mutable std::mutex mutex_;
  mutable Table table_;
  std::unordered_map<NodeId, sys::FileHandle> handles_;  // of those without a known place
  Slot victim_ = 0;                                      // whose place was taken last
  std::atomic<std::size_t> size_{0};
};

}  // namespace layerfs::tree
