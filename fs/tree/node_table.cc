#include "fs/tree/node_table.h"

namespace layerfs::tree {

Node& NodeTable::insert(std::unique_ptr<Node> node) {
  Shard& s = shard(node->id);
  std::unique_lock lock(s.mutex);
  const NodeId id = node->id;
  return *(s.nodes[id] = std::move(node));
}

Node* NodeTable::find(NodeId id) const {
  const Shard& s = shard(id);
  std::shared_lock lock(s.mutex);
  auto it = s.nodes.find(id);
  return it == s.nodes.end() ? nullptr : it->second.get();
}

Node* NodeTable::pin_if_unused(NodeId id) {
  Shard& s = shard(id);
  std::shared_lock lock(s.mutex);
  auto it = s.nodes.find(id);
  if (it == s.nodes.end() || it->second->lookups.load() != 0) return nullptr;
  it->second->pins.fetch_add(1);
  return it->second.get();
}

std::unique_ptr<Node> NodeTable::take_if_idle(Node& node) {
  Shard& s = shard(node.id);
  std::unique_lock lock(s.mutex);
  if (node.lookups.load() != 0 || node.pins.load() != 1) return nullptr;
  auto it = s.nodes.find(node.id);
  if (it == s.nodes.end()) return nullptr;
  std::unique_ptr<Node> taken = std::move(it->second);
  s.nodes.erase(it);
  return taken;
}

std::size_t NodeTable::size() const {
  std::size_t total = 0;
  for (const Shard& s : shards_) {
    std::shared_lock lock(s.mutex);
    total += s.nodes.size();
  }
  return total;
}

}  // namespace layerfs::tree
