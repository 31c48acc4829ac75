// How many descriptors are kept for what has lost its name.
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
  void drop() noexcept { count_.fetch_sub(1, std::memory_order_relaxed); }

  // Whether they are half of what the process may have.
  bool are_many() const noexcept;

  // Blocks while they are many and become fewer. The caller holds no lock.
  void wait() const noexcept;

 private:
  std::atomic<std::size_t> count_{0};
};

}  // namespace layerfs::tree
