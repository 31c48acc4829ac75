#include "fs/tree/node_table.h"

namespace layerfs::tree {

Node& NodeTable::insert(std::unique_ptr<Node> node) {
  Shard& s = shard(node->id);
  std::unique_lock lock(s.mutex);
  return **s.nodes.insert(std::move(node)).first;
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
  return std::move(s.nodes.extract(it).value());
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
