// Which nodes have given their place to another.
#pragma once

#include <mutex>

#include <absl/container/flat_hash_map.h>

#include "fs/tree/node.h"

namespace layerfs::tree {

// For each node that is kSuperseded, the one that has its place now, which it pins. There are few
// of them, too few for a member of each node. Thread-safe.
class Successors {
 public:
  void insert(const Node& node, Node& successor) {
    std::lock_guard lock(mutex_);
    by_id_[node.id] = &successor;
  }

  // `node` is superseded.
  Node& of(const Node& node) const {
    std::lock_guard lock(mutex_);
    return *by_id_.find(node.id)->second;
  }

  // The successor of a node that is about to go, forgotten here; its pin is the caller's.
  Node& take(const Node& node) {
    std::lock_guard lock(mutex_);
    auto it = by_id_.find(node.id);
    Node& successor = *it->second;
    by_id_.erase(it);
    return successor;
  }

 private:
  mutable std::mutex mutex_;
  absl::flat_hash_map<NodeId, Node*> by_id_;
};

}  // namespace layerfs::tree
