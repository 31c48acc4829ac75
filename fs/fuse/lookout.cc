#include "fs/fuse/lookout.h"

#include <system_error>

#include "fs/fuse/signals.h"

namespace layerfs::fuse {

bool Lookout::start() {
  try {
    thread_ = std::thread([this] { watch(); });
  } catch (const std::system_error&) {
    return false;
  }
  return true;
}

void Lookout::stop() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    ended_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void Lookout::wake() noexcept {
  awake_.store(true, std::memory_order_relaxed);
  {
    const std::lock_guard lock(mutex_);
    wanted_ = true;
  }
  changed_.notify_one();
}

// False at the end.
bool Lookout::pause(std::unique_lock<std::mutex>& lock) {
  return !changed_.wait_for(lock, kInterval, [this] { return ended_; });
}

void Lookout::watch() {
  block_signals();
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return wanted_ || ended_; });
    wanted_ = false;
    for (int quiet = 0; quiet <= kLinger && pause(lock);) {
      // One look more after this: whoever has just begun may have seen `awake_` as it was.
      if (quiet == kLinger - 1) awake_.store(false, std::memory_order_relaxed);
      lock.unlock();
      const bool busy = look_();
      lock.lock();
      quiet = busy ? 0 : quiet + 1;
      if (busy) awake_.store(true, std::memory_order_relaxed);
    }
    if (ended_) return;
  }
}

}  // namespace layerfs::fuse
