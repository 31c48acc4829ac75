// By which names beside its place a node is known.
#pragma once

#include <cstdint>
#include <mutex>
#include <tuple>
#include <vector>

#include <absl/container/btree_set.h>

#include "fs/tree/node.h"

namespace layerfs::tree {

// A name as its directory knows it.
struct KnownName {
  NodeId dir = 0;
  std::uint64_t key = 0;  // of the Entry
};

// The names in the upper that lookups and links have led to, of nodes that have several. When the
// name that is a node's place goes, one of them becomes its place. They are hints: whoever uses one
// looks whether it still is a name of the inode. Nothing is pinned by them. Thread-safe.
class OtherNames {
 public:
  void add(NodeId node, const KnownName& name) {
    std::lock_guard lock(mutex_);
    names_.insert({node, name.dir, name.key});
  }

  void remove(NodeId node, const KnownName& name) {
    std::lock_guard lock(mutex_);
    names_.erase({node, name.dir, name.key});
  }

  std::vector<KnownName> of(NodeId node) const {
    std::lock_guard lock(mutex_);
    std::vector<KnownName> found;
    for (auto at = names_.lower_bound({node, 0, 0}); at != names_.end(); ++at) {
      if (std::get<0>(*at) != node) break;
      found.push_back({std::get<1>(*at), std::get<2>(*at)});
    }
    return found;
  }

  // Of a node that is gone.
  void erase(NodeId node) noexcept {
    std::lock_guard lock(mutex_);
    names_.erase(names_.lower_bound({node, 0, 0}), names_.lower_bound({node + 1, 0, 0}));
  }

  std::size_t size() const {
    std::lock_guard lock(mutex_);
    return names_.size();
  }

 private:
  mutable std::mutex mutex_;
  absl::btree_set<std::tuple<NodeId, NodeId, std::uint64_t>> names_;  // node, directory, key
};

}  // namespace layerfs::tree
