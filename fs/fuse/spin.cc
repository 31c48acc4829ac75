#include "fs/fuse/spin.h"

#include <algorithm>

namespace layerfs::fuse {

bool Spin::begin() noexcept {
  if (!allowed_) return false;
  // Threads that count down at the same time may skip one more or less.
  if (to_skip_.load(std::memory_order_relaxed) > 0) {
    to_skip_.fetch_sub(1, std::memory_order_relaxed);
    return false;
  }
  return !taken_.exchange(true, std::memory_order_acquire);
}

void Spin::end(bool found) noexcept {
  if (found) {
    penalty_.store(1, std::memory_order_relaxed);
  } else {
    const int penalty = penalty_.load(std::memory_order_relaxed);
    to_skip_.store(penalty, std::memory_order_relaxed);
    penalty_.store(std::min(2 * penalty, kMostSkipped), std::memory_order_relaxed);
  }
  taken_.store(false, std::memory_order_release);
}

}  // namespace layerfs::fuse
