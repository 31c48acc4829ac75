// Which nodes have several names.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

#include "fs/tree/node.h"

namespace layerfs::tree {

// Nodes of files with more than one link, by st_ino of the union: another name that leads to the
// same inode must give the same node. Thread-safe.
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

  // Counts a lookup on the node that is known for `ino`; null if there is none.
  Node* find_and_count(ino_t ino) {
    std::lock_guard lock(mutex_);
    auto it = links_.find(ino);
    if (it == links_.end()) return nullptr;
    it->second.node->lookups.fetch_add(1);
    return it->second.node;
  }

  // Makes `node` the one for its ino.
  void insert(Node& node) {
    std::lock_guard lock(mutex_);
    node.set(Node::kHardLink);
    links_[node.ino].node = &node;
    count_.store(links_.size(), std::memory_order_release);
  }

  // Remembers a lower name; false if it was known. The caller has pinned `dir` if true.
  bool add_alias(Node& node, Node& dir, const Name& name) {
    std::lock_guard lock(mutex_);
    auto it = links_.find(node.ino);
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
    auto it = links_.find(node.ino);
    return it == links_.end() ? std::vector<Alias>() : std::exchange(it->second.aliases, {});
  }

  // Calls `take` such that nobody finds `node` here meanwhile; if it returns true the node is gone,
  // and its aliases are the caller's.
  template <typename Take>
  std::vector<Alias> erase_if(Node& node, Take&& take) {
    std::lock_guard lock(mutex_);
    const ino_t ino = node.ino;
    Node* const identity = &node;
    if (!take()) return {};
    auto it = links_.find(ino);
    if (it == links_.end() || it->second.node != identity) return {};
    std::vector<Alias> aliases = std::move(it->second.aliases);
    links_.erase(it);
    count_.store(links_.size(), std::memory_order_release);
    return aliases;
  }

 private:
  struct Links {
    Node* node = nullptr;
    std::vector<Alias> aliases;
  };
  std::mutex mutex_;
  std::atomic<std::size_t> count_{0};  // of links_, to be asked without the mutex
  std::unordered_map<ino_t, Links> links_;
};

}  // namespace layerfs::tree
