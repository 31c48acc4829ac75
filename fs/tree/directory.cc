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
  max_shift = std::max(max_shift, key - hash);
  Entry& entry = entries.emplace_hint(it, key, Entry{})->second;
  entry.name = Name(name);
  return entry;
}

std::uint64_t Directory::key_of(const Entry& entry) const {
  const std::uint64_t hash = layer::name_hash(entry.name.view());
  auto it = entries.lower_bound(hash);
  while (&it->second != &entry) ++it;
  return it->first;
}

void Directory::erase(const Entry& entry) {
  const std::uint64_t key = key_of(entry);
  merged.erase(key);
  entries.erase(key);
}

}  // namespace layerfs::tree
