#include "fs/tree/node_table.h"

namespace layerfs::tree {

Node& NodeTable::insert(std::unique_ptr<Node> node) {
  Shard& s = shard(node->id);
  Node* inserted = nullptr;
  {
    std::unique_lock lock(s.mutex);
    inserted = s.nodes.insert(std::move(node)).first->get();
  }
  if (count_.fetch_add(1, std::memory_order_relaxed) >= most_) crowded_();
  return *inserted;
}

Node* NodeTable::find(NodeId id) const {
  const Shard& s = shard(id);
  std::shared_lock lock(s.mutex);
  auto it = s.nodes.find(id);
  return it == s.nodes.end() ? nullptr : it->get();
}

Node* NodeTable::hold(NodeId id) {
  Shard& s = shard(id);
  std::shared_lock lock(s.mutex);
  auto it = s.nodes.find(id);
  if (it == s.nodes.end()) return nullptr;
  (*it)->lookups.fetch_add(1);
  return it->get();
}

Node* NodeTable::pin_if_unused(NodeId id) {
  Shard& s = shard(id);
  std::shared_lock lock(s.mutex);
  auto it = s.nodes.find(id);
  if (it == s.nodes.end() || (*it)->lookups.load() != 0) return nullptr;
  (*it)->pins.fetch_add(1);
  return it->get();
}

std::unique_ptr<Node> NodeTable::take_if_idle(Node& node) {
  Shard& s = shard(node.id);
  std::unique_lock lock(s.mutex);
  if (node.lookups.load() != 0 || node.pins.load() != 1) return nullptr;
  auto it = s.nodes.find(node.id);
  if (it == s.nodes.end()) return nullptr;
  count_.fetch_sub(1, std::memory_order_relaxed);
  return std::move(s.nodes.extract(it).value());
}

void NodeTable::watch(std::size_t most, std::function<void()> crowded) {
  crowded_ = std::move(crowded);
  most_ = most;
}

std::vector<NodeId> NodeTable::only_looked_up() const {
  std::vector<NodeId> ids;
  for (const Shard& s : shards_) {
    std::shared_lock lock(s.mutex);
    for (const auto& node : s.nodes)
      if (node->id != kRootNode && node->pins.load() == 0 && node->lookups.load() != 0)
        ids.push_back(node->id);
  }
  return ids;
}

}  // namespace layerfs::tree
