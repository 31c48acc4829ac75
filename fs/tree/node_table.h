// Nodes by their id.
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <limits>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <vector>

#include <absl/container/flat_hash_set.h>

#include "fs/tree/node.h"

namespace layerfs::tree {

// Owns all nodes. Ids count up; only a node that stands for the same object gets an old one again.
// Thread-safe.
class NodeTable {
 public:
  NodeId new_id() { return next_.fetch_add(1, std::memory_order_relaxed); }

  // Takes ownership.
  Node& insert(std::unique_ptr<Node> node);

  // Null for an id that was forgotten or never given. The kernel holds a node while it asks for it,
  // so the result stays valid for the request.
  Node* find(NodeId id) const;

  // The same with a lookup counted, for who is not sure that somebody holds it.
  Node* hold(NodeId id);

  // The node with one more pin if it has no lookups; null otherwise.
  Node* pin_if_unused(NodeId id);

  // Gives up ownership if `node` has no lookups and no pin but the caller's; null otherwise. The
  // caller prevents that somebody finds it by name meanwhile.
  std::unique_ptr<Node> take_if_idle(Node& node);

  std::size_t size() const { return count_.load(std::memory_order_relaxed); }

  // From now on `crowded` is called after each insertion that leaves more than `most` nodes. Once,
  // before the first request.
  void watch(std::size_t most, std::function<void()> crowded);

  // The nodes, but for the root, that only the kernel holds, by one lookup or more.
  std::vector<NodeId> only_looked_up() const;

 private:
  // Nodes hold their ids, so that the table is one of pointers.
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(NodeId id) const { return absl::Hash<NodeId>{}(id); }
    std::size_t operator()(const std::unique_ptr<Node>& node) const { return (*this)(node->id); }
  };
  struct Equal {
    using is_transparent = void;
    bool operator()(const std::unique_ptr<Node>& node, NodeId id) const { return node->id == id; }
    bool operator()(const std::unique_ptr<Node>& a, const std::unique_ptr<Node>& b) const {
      return a->id == b->id;
    }
  };
  struct alignas(64) Shard {
    mutable std::shared_mutex mutex;
    absl::flat_hash_set<std::unique_ptr<Node>, Hash, Equal> nodes;
  };
  Shard& shard(NodeId id) { return shards_[id % shards_.size()]; }
  const Shard& shard(NodeId id) const { return shards_[id % shards_.size()]; }

  std::atomic<NodeId> next_{kRootNode};
  std::atomic<std::size_t> count_{0};
  std::size_t most_ = std::numeric_limits<std::size_t>::max();
  std::function<void()> crowded_;
  std::array<Shard, 16> shards_;
};

}  // namespace layerfs::tree
