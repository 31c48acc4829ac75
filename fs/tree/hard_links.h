// Which nodes have several names.
#pragma once

#include <sys/types.h>

#include <mutex>
#include <unordered_map>

#include "fs/tree/node.h"

namespace layerfs::tree {

// Nodes of files with more than one link, by st_ino of the union: another name that leads to the
// same inode must give the same node. Thread-safe.
class HardLinks {
 public:
  // Counts a lookup on the node that is known for `ino`; null if there is none.
  Node* find_and_count(ino_t ino) {
    std::lock_guard lock(mutex_);
    auto it = nodes_.find(ino);
    if (it == nodes_.end()) return nullptr;
    it->second->lookups.fetch_add(1);
    return it->second;
  }

  // Makes `node` the one for its ino.
  void insert(Node& node) {
    std::lock_guard lock(mutex_);
    node.set(Node::kHardLink);
    nodes_[node.ino] = &node;
  }

  // Calls `take` such that nobody finds `node` here meanwhile; if it returns true the node is gone.
  template <typename Take>
  void erase_if(Node& node, Take&& take) {
    std::lock_guard lock(mutex_);
    const ino_t ino = node.ino;
    Node* const identity = &node;
    if (!take()) return;
    auto it = nodes_.find(ino);
    if (it != nodes_.end() && it->second == identity) nodes_.erase(it);
  }

 private:
  std::mutex mutex_;
  std::unordered_map<ino_t, Node*> nodes_;
};

}  // namespace layerfs::tree
