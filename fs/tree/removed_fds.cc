#include "fs/tree/removed_fds.h"

#include <sys/resource.h>

#include <chrono>
#include <thread>

namespace layerfs::tree {
namespace {

// So few fit under any limit, and nobody has to be asked for it.
constexpr std::size_t kFew = 32;

constexpr std::chrono::milliseconds kLook{1};

// Without a change for so long they are in use, and waiting is of no use.
constexpr int kLooksWithoutChange = 50;

}  // namespace

bool RemovedFds::are_many() const noexcept {
  const std::size_t count = count_.load(std::memory_order_relaxed);
  if (count <= kFew) return false;
  rlimit files = {};
  return ::getrlimit(RLIMIT_NOFILE, &files) == 0 && count > files.rlim_cur / 2;
}

void RemovedFds::wait() const noexcept {
  std::size_t fewest = count_.load(std::memory_order_relaxed);
  for (int looks = 0; looks < kLooksWithoutChange && are_many(); ++looks) {
    std::this_thread::sleep_for(kLook);
    const std::size_t count = count_.load(std::memory_order_relaxed);
    if (count >= fewest) continue;
    fewest = count;
    looks = 0;
  }
}

}  // namespace layerfs::tree
