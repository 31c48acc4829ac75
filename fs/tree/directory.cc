#include "fs/layer/name_hash.h"
#include "fs/tree/node.h"

namespace layerfs::tree {

Entry* Directory::find(std::string_view name) {
  const std::uint64_t hash = layer::name_hash(name);
  for (auto it = entries.lower_bound(hash); it != entries.end(); ++it) {
    if (it->first - hash > max_shift) break;
    if (it->second.name.view() == name) return &it->second;
  }
  return nullptr;
}

Entry& Directory::insert(std::string_view name) {
  if (Entry* there = find(name)) return *there;
  const std::uint64_t hash = layer::name_hash(name);
  std::uint64_t key = hash;
  auto it = entries.lower_bound(key);
  while (it != entries.end() && it->first == key) {
    ++key;
    ++it;
  }
  max_shift = std::max(max_shift, static_cast<std::uint32_t>(key - hash));
  Entry& entry = entries.emplace_hint(it, key, Entry{})->second;
  entry.name = Name(name);
  return entry;
}

void Directory::pack() {
  absl::btree_map<std::uint64_t, Entry> packed;
  for (auto& [key, entry] : entries) packed.emplace_hint(packed.end(), key, std::move(entry));
  entries = std::move(packed);
}

std::uint64_t Directory::key_of(const Entry& entry) const {
  const std::uint64_t hash = layer::name_hash(entry.name.view());
  auto it = entries.lower_bound(hash);
  while (&it->second != &entry) ++it;
  return it->first;
}

void Directory::erase(const Entry& entry) {
  const std::uint64_t key = key_of(entry);
  if (merged_ != nullptr) merged_->erase(key);
  entries.erase(key);
}

std::vector<std::uint16_t>& Directory::merge_below(const Entry& entry) {
  if (merged_ == nullptr) merged_ = std::make_unique<Merged>();
  return (*merged_)[key_of(entry)];
}

const std::vector<std::uint16_t>* Directory::merging_below(const Entry& entry) const {
  if (merged_ == nullptr) return nullptr;
  auto found = merged_->find(key_of(entry));
  return found == merged_->end() ? nullptr : &found->second;
}

void Directory::merge_nothing_below(const Entry& entry) {
  if (merged_ != nullptr) merged_->erase(key_of(entry));
}

void Directory::clear() {
  entries.clear();
  merged_.reset();
}

}  // namespace layerfs::tree
