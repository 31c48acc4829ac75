// Which nodes have several names.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <mutex>
#include <utility>
#include <vector>

#include <absl/container/flat_hash_map.h>
#include <absl/container/inlined_vector.h>

#include "fs/tree/inode_id.h"
#include "fs/tree/node.h"

namespace layerfs::tree {

// Nodes of files with more than one link, by the inodes of the layers that lead to them: another
// name of the same inode must give the same node. A node may have two, that of the upper and the
// lower one that it was copied from. Only inodes whose identity is certain are entered.
// Thread-safe.
class HardLinks {
 public:
  // A name of a node beside its place, found in a lower layer. When the node is copied up the name
  // has to come along: a change made by way of it must be seen by whoever uses the upper as a
  // layer.
  struct Alias {
    Node* dir;  // pinned
    Name name;
  };

  bool empty() const { return count_.load(std::memory_order_acquire) == 0; }

  // Held from the question for an inode to the entry of its new node, so that two names that are
  // looked up at once get one node. After a directory's entries, before the mutex inside.
  std::unique_lock<std::mutex> lock_making(const InodeId& inode) {
    return std::unique_lock(making_[absl::Hash<InodeId>{}(inode) % making_.size()]);
  }

  // Counts a lookup on the node that is known for `inode`; null if there is none.
  Node* find_and_count(const InodeId& inode) {
    std::lock_guard lock(mutex_);
    auto it = nodes_.find(inode);
    if (it == nodes_.end()) return nullptr;
    it->second->lookups.fetch_add(1);
    return it->second;
  }

  // Makes `node` the one for `inode`, beside those that it has already.
  void insert(Node& node, const InodeId& inode) {
    std::lock_guard lock(mutex_);
    node.set(Node::kHardLink);
    nodes_[inode] = &node;
    auto& inodes = links_[&node].inodes;
    if (std::find(inodes.begin(), inodes.end(), inode) == inodes.end()) inodes.push_back(inode);
    count();
  }

  // Gives all that `node` has to its successor.
  void move(Node& node, Node& successor) {
    std::lock_guard lock(mutex_);
    auto it = links_.find(&node);
    if (it == links_.end()) return;
    Links links = std::move(it->second);
    links_.erase(it);
    for (const InodeId& inode : links.inodes) nodes_[inode] = &successor;
    successor.set(Node::kHardLink);
    links_[&successor] = std::move(links);
  }

  // Remembers a lower name; false if it was known. The caller has pinned `dir` if true.
  bool add_alias(Node& node, Node& dir, const Name& name) {
    std::lock_guard lock(mutex_);
    auto it = links_.find(&node);
    if (it == links_.end()) return false;
    for (const Alias& known : it->second.aliases)
      if (known.dir == &dir && known.name.view() == name.view()) return false;
    it->second.aliases.push_back({&dir, name});
    node.set(Node::kLowerNames);
    return true;
  }

  // The lower names remembered, forgotten here.
  std::vector<Alias> take_aliases(Node& node) {
    std::lock_guard lock(mutex_);
    node.clear(Node::kLowerNames);
    auto it = links_.find(&node);
    return it == links_.end() ? std::vector<Alias>() : std::exchange(it->second.aliases, {});
  }

  // Calls `take` such that nobody finds `node` here meanwhile; if it returns true the node is gone,
  // and its aliases are the caller's.
  template <typename Take>
  std::vector<Alias> erase_if(Node& node, Take&& take) {
    std::lock_guard lock(mutex_);
    Node* const identity = &node;
    if (!take()) return {};
    auto it = links_.find(identity);
    if (it == links_.end()) return {};
    const Links links = std::move(it->second);
    links_.erase(it);
    for (const InodeId& inode : links.inodes) {
      auto known = nodes_.find(inode);
      if (known != nodes_.end() && known->second == identity) nodes_.erase(known);
    }
    count();
    return links.aliases;
  }

 private:
  struct Links {
    absl::InlinedVector<InodeId, 2> inodes;
    std::vector<Alias> aliases;
  };

  void count() { count_.store(links_.size(), std::memory_order_release); }

  std::array<std::mutex, 16> making_;
  std::mutex mutex_;
  std::atomic<std::size_t> count_{0};  // of links_, to be asked without the mutex
  absl::flat_hash_map<InodeId, Node*> nodes_;
  absl::flat_hash_map<const Node*, Links> links_;
};

}  // namespace layerfs::tree
