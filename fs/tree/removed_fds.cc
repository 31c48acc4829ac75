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
  const std::size_t used = in_use_.load(std::memory_order_relaxed);
  const std::size_t count = count_.load(std::memory_order_relaxed);
  if (count <= used + kFew) return false;
  rlimit files = {};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0) return false;
  const std::size_t left = files.rlim_cur > used ? files.rlim_cur - used : 0;
  return count - used > left / 2;
}

void RemovedFds::wait() noexcept {
  std::size_t fewest = count_.load(std::memory_order_relaxed);
  int looks = 0;
  for (; looks < kLooksWithoutChange && are_many(); ++looks) {
    std::this_thread::sleep_for(kLook);
    const std::size_t count = count_.load(std::memory_order_relaxed);
    if (count >= fewest) continue;
    fewest = count;
    looks = 0;
  }
  if (looks == kLooksWithoutChange) in_use_.store(fewest, std::memory_order_relaxed);
}

}  // namespace layerfs::tree
