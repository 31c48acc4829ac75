// How many descriptors are kept for inodes whose node has no place.
#pragma once

#include <atomic>
#include <cstddef>

namespace layerfs::tree {

// A removed object that the kernel still knows is reachable by a descriptor only, until the kernel
// forgets it, mostly at once. But the last descriptor takes the object's blocks away, which may
// take the disk longer than a removal takes: then whoever removes has to wait, or the descriptors
// run out. Thread-safe.
class RemovedFds {
 public:
  void add() noexcept { count_.fetch_add(1, std::memory_order_relaxed); }
  void drop() noexcept {
    const std::size_t left = count_.fetch_sub(1, std::memory_order_relaxed) - 1;
    if (in_use_.load(std::memory_order_relaxed) > left)
      in_use_.store(left, std::memory_order_relaxed);
  }

  // Whether there are so many that it pays to wait: half of what the process may have. Descriptors
  // that an earlier wait found to be in use do not count, on either side.
  bool are_many() const noexcept;

  // Blocks while they are many and become fewer. The caller holds no lock. Those that a wait of 50
  // ms in vain leaves are taken to be in use: no later call waits for as many.
  void wait() noexcept;

 private:
  std::atomic<std::size_t> count_{0};
  std::atomic<std::size_t> in_use_{0};  // of these, as the last wait in vain has found
};

}  // namespace layerfs::tree
