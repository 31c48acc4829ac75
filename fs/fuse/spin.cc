#include "fs/fuse/spin.h"

namespace layerfs::fuse {

bool Spin::begin() noexcept {
  if (!allowed_ || vain_.load(std::memory_order_relaxed) >= kVainSpins) return false;
  return !taken_.exchange(true, std::memory_order_acquire);
}

void Spin::end(bool request) noexcept {
  if (request) {
    vain_.store(0, std::memory_order_relaxed);
  } else {
    vain_.fetch_add(1, std::memory_order_relaxed);
  }
  taken_.store(false, std::memory_order_release);
}

}  // namespace layerfs::fuse
