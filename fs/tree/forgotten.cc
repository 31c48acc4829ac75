#include "fs/tree/forgotten.h"

#include <new>
#include <utility>

namespace layerfs::tree {

Forgotten::Slot& Forgotten::Table::ino_head(ino_t ino) {
  // Inode numbers may differ in their high bits only.
  const std::uint64_t mixed = std::uint64_t{ino} * 0x9e3779b97f4a7c15ULL;
  return by_ino[(mixed >> 32) & (by_ino.size() - 1)];
}

void Forgotten::Table::put(Slot slot, const ForgottenNode& node) {
  Slot& id = id_head(node.id);
  Slot& ino = ino_head(node.ino);
  records[slot] = Record{node, id, ino};
  id = slot;
  ino = slot;
}

// When no record is free, so that all of them are in use.
void Forgotten::add_heads() {
  if (table_.records.empty()) table_.records.emplace_back();
  const std::size_t heads = table_.by_id.empty() ? kSmallest : table_.by_id.size() * 2;
  std::vector<Slot> by_id(heads), by_ino(heads);
  table_.by_id = std::move(by_id);
  table_.by_ino = std::move(by_ino);
  for (std::size_t at = 1; at < table_.records.size(); ++at)
    table_.put(static_cast<Slot>(at), ForgottenNode(table_.records[at].node));
}

Forgotten::Slot Forgotten::new_slot() {
  if (table_.free == 0 && table_.records.size() > most_) {
    victim_ = victim_ % most_ + 1;
    remove(victim_);
  }
  if (const Slot slot = table_.free; slot != 0) {
    table_.free = table_.records[slot].next_by_id;
    return slot;
  }
  if (table_.by_id.empty() || table_.records.size() > table_.by_id.size() * 2) add_heads();
  table_.records.emplace_back();
  return static_cast<Slot>(table_.records.size() - 1);
}

void Forgotten::remember(const ForgottenNode& node, const sys::FileHandle* handle) noexcept {
  const std::lock_guard lock(mutex_);
  try {
    if (const Slot known = find_ino(node.ino); known != 0) remove(known);
    if (handle != nullptr) handles_[node.id] = *handle;
    table_.put(new_slot(), node);
    size_.fetch_add(1, std::memory_order_release);
  } catch (const std::bad_alloc&) {
    // Then it is not remembered.
    return;
  }
}

Forgotten::Slot Forgotten::find_ino(ino_t ino) {
  if (table_.by_ino.empty()) return 0;
  Slot slot = table_.ino_head(ino);
  while (slot != 0 && table_.records[slot].node.ino != ino) slot = table_.records[slot].next_by_ino;
  return slot;
}

void Forgotten::remove(Slot slot) {
  const auto unchain = [&](Slot& head, Slot Record::*next) {
    Slot* at = &head;
    while (*at != slot) at = &(table_.records[*at].*next);
    *at = table_.records[slot].*next;
  };
  const ForgottenNode& node = table_.records[slot].node;
  unchain(table_.id_head(node.id), &Record::next_by_id);
  unchain(table_.ino_head(node.ino), &Record::next_by_ino);
  if (node.parent == 0) handles_.erase(node.id);
  table_.records[slot] = Record{{}, table_.free, 0};
  table_.free = slot;
  // The last gives back what many have taken.
  if (size_.fetch_sub(1, std::memory_order_release) == 1 && table_.by_id.size() > kSmallest)
    table_ = Table();
}

std::optional<ForgottenNode> Forgotten::find(NodeId id) const {
  const std::lock_guard lock(mutex_);
  if (table_.by_id.empty()) return std::nullopt;
  Slot slot = table_.id_head(id);
  while (slot != 0 && table_.records[slot].node.id != id) slot = table_.records[slot].next_by_id;
  if (slot == 0) return std::nullopt;
  return table_.records[slot].node;
}

std::optional<sys::FileHandle> Forgotten::handle(NodeId id) const {
  const std::lock_guard lock(mutex_);
  const auto found = handles_.find(id);
  if (found == handles_.end()) return std::nullopt;
  return found->second;
}

std::optional<NodeId> Forgotten::take(const ForgottenNode& node, bool any_place) noexcept {
  if (size() == 0) return std::nullopt;
  const std::lock_guard lock(mutex_);
  const Slot slot = find_ino(node.ino);
  if (slot == 0) return std::nullopt;
  const ForgottenNode found = table_.records[slot].node;
  const bool here = found.parent == node.parent && found.key == node.key;
  if (!here && !any_place && found.parent != 0) return std::nullopt;
  remove(slot);
  return found.id;
}

void Forgotten::erase(ino_t ino) noexcept {
  if (size() == 0) return;
  const std::lock_guard lock(mutex_);
  if (const Slot slot = find_ino(ino); slot != 0) remove(slot);
}

}  // namespace layerfs::tree
