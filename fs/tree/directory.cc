#include <algorithm>
#include <random>

#include "fs/layer/name_hash.h"
#include "fs/tree/node.h"

namespace layerfs::tree {
namespace {

// Different in each process, so that nobody can foresee the keys that it leads to.
std::uint64_t secret() {
  static const std::uint64_t value = [] {
    std::random_device device;
    return std::uint64_t{device()} << 32 | device();
  }();
  return value;
}

// Where an entry may stand: under its hash; and if other names have that, which is by intent, under
// another key that nobody can foresee, and so on.
std::uint64_t key_at(std::string_view name, std::uint32_t shift) {
  return shift == 0 ? layer::name_hash(name) : layer::seeded_name_hash(name, secret() + shift);
}

}  // namespace

Entry* Directory::find(std::string_view name) {
  for (std::uint32_t shift = 0; shift <= max_shift; ++shift) {
    const auto at = entries.find(key_at(name, shift));
    if (at != entries.end() && at->second.name.view() == name) return &at->second;
  }
  return nullptr;
}

Entry& Directory::insert(std::string_view name) {
  if (Entry* there = find(name)) return *there;
  std::uint32_t shift = 0;
  while (entries.contains(key_at(name, shift))) ++shift;
  max_shift = std::max(max_shift, shift);
  Entry& entry = entries.emplace(key_at(name, shift), Entry{}).first->second;
  entry.name = Name(name);
  return entry;
}

void Directory::pack() {
  absl::btree_map<std::uint64_t, Entry> packed;
  for (auto& [key, entry] : entries) packed.emplace_hint(packed.end(), key, std::move(entry));
  entries = std::move(packed);
}

std::uint64_t Directory::key_of(const Entry& entry) const {
  for (std::uint32_t shift = 0; shift < max_shift; ++shift) {
    const std::uint64_t key = key_at(entry.name.view(), shift);
    const auto at = entries.find(key);
    if (at != entries.end() && &at->second == &entry) return key;
  }
  return key_at(entry.name.view(), max_shift);
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
