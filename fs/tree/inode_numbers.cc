#include "fs/tree/inode_numbers.h"

#include <mutex>

namespace layerfs::tree {
namespace {

// Numbers of real file systems end far below this bit; those of a union below ours may not.
constexpr int kPositionShift = 48;
constexpr std::size_t kMostPositions = std::size_t{1} << 14;

// Within 32 bits: sixteen file systems of 2^28 inodes each.
constexpr int kShortShift = 28;
constexpr std::size_t kMostShortPositions = 16;

// Numbers that no composed one reaches.
constexpr ino_t kFirstOwn = ino_t{1} << 63;
// The same with xino=off, where only numbers below it are shown as they are.
constexpr ino_t kFirstShortOwn = ino_t{1} << 31;

bool fits(ino_t number, int bits) { return number >> bits == 0; }

absl::flat_hash_map<dev_t, std::size_t> positions_of(const std::vector<dev_t>& devices) {
  absl::flat_hash_map<dev_t, std::size_t> positions;
  for (const dev_t device : devices) positions.emplace(device, positions.size());
  return positions;
}

}  // namespace

InodeNumbers::InodeNumbers(Xino xino, const std::vector<dev_t>& devices)
    : xino_(xino),
      one_file_system_(devices.size() <= 1),
      known_(positions_of(devices)),
      next_own_(xino == Xino::kOff ? kFirstShortOwn : kFirstOwn) {}

std::size_t InodeNumbers::position(dev_t device) {
  const auto known = known_.find(device);
  if (known != known_.end()) return known->second;
  {
    std::shared_lock lock(mutex_);
    const auto found = found_later_.find(device);
    if (found != found_later_.end()) return found->second;
  }
  std::lock_guard lock(mutex_);
  return found_later_.emplace(device, known_.size() + found_later_.size()).first->second;
}

std::optional<ino_t> InodeNumbers::composed(std::size_t position, ino_t number) const {
  if (xino_ == Xino::kOff) {
    if (position != 0 || number >= kFirstShortOwn) return std::nullopt;
    return number;
  }
  if (!fits(number, kPositionShift) || position >= kMostPositions) return std::nullopt;
  const auto high = static_cast<ino_t>(position) << kPositionShift;
  if (xino_ == Xino::kOn || one_file_system_) return high | number;
  if (position < kMostShortPositions && fits(number, kShortShift))
    return static_cast<ino_t>(position) << kShortShift | number;
  // Apart from all short ones, also at position 0.
  return (high + (ino_t{1} << kPositionShift)) | number;
}

ino_t InodeNumbers::shown(const InodeId& inode) {
  if (const auto number = composed(position(inode.device), inode.number)) return *number;
  return own(inode);
}

ino_t InodeNumbers::own(const InodeId& inode) {
  {
    std::shared_lock lock(mutex_);
    const auto known = own_.find(inode);
    if (known != own_.end()) return known->second;
  }
  std::lock_guard lock(mutex_);
  const auto [entry, is_new] = own_.emplace(inode, next_own_);
  if (is_new) ++next_own_;
  return entry->second;
}

ino_t InodeNumbers::shown(const InodeId& inode, const std::string& attributes) {
  {
    std::lock_guard lock(mutex_);
    Alike& alike = alike_.emplace(inode, Alike{attributes, {}}).first->second;
    if (alike.first != attributes) {
      for (const auto& [other, number] : alike.others)
        if (other == attributes) return number;
      alike.others.emplace_back(attributes, next_own_);
      return next_own_++;
    }
  }
  return shown(inode);
}

bool InodeNumbers::claim(ino_t number, ino_t upper) {
  std::lock_guard lock(mutex_);
  any_claims_.store(true, std::memory_order_release);
  return claims_.emplace(number, upper).first->second == upper;
}

bool InodeNumbers::is_claimed(ino_t number) const {
  if (!any_claims_.load(std::memory_order_acquire)) return false;
  std::shared_lock lock(mutex_);
  return claims_.contains(number);
}

void InodeNumbers::keep(ino_t upper, ino_t number) {
  std::lock_guard lock(mutex_);
  any_kept_.store(true, std::memory_order_release);
  kept_[upper] = number;
  claims_[number] = upper;
  any_claims_.store(true, std::memory_order_release);
}

std::optional<ino_t> InodeNumbers::kept(ino_t upper) const {
  if (!any_kept_.load(std::memory_order_acquire)) return std::nullopt;
  std::shared_lock lock(mutex_);
  const auto found = kept_.find(upper);
  return found == kept_.end() ? std::nullopt : std::optional(found->second);
}

void InodeNumbers::release(ino_t number) noexcept {
  if (!any_claims_.load(std::memory_order_acquire)) return;
  std::lock_guard lock(mutex_);
  claims_.erase(number);
}

void InodeNumbers::renew(ino_t upper) noexcept {
  if (!any_kept_.load(std::memory_order_acquire)) return;
  std::lock_guard lock(mutex_);
  kept_.erase(upper);
}

}  // namespace layerfs::tree
