#include "fs/fuse/burst.h"

#include <system_error>

#include "fs/fuse/signals.h"

namespace layerfs::fuse {

Burst::Burst(std::unique_ptr<AwakeProcessors> processors, std::function<void()> at_end)
    : processors_(std::move(processors)), at_end_(std::move(at_end)) {
  if (processors_ == nullptr) return;
  try {
    watcher_ = std::thread([this] { watch(); });
  } catch (const std::system_error&) {
    // Without it requests are answered all the same.
  }
}

Burst::~Burst() {
  if (!watcher_.joinable()) return;
  {
    std::lock_guard lock(mutex_);
    ended_ = true;
  }
  changed_.notify_one();
  watcher_.join();
}

void Burst::prolong(Clock::time_point now) noexcept {
  last_.store(now, std::memory_order_relaxed);
  if (held_.load(std::memory_order_relaxed)) return;
  {
    std::lock_guard lock(mutex_);
    wanted_ = true;
  }
  changed_.notify_one();
}

void Burst::watch() {
  block_signals();
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return wanted_ || ended_; });
    if (ended_) return;
    lock.unlock();
    hold_to_the_end();
    lock.lock();
    wanted_ = false;
  }
}

// Looks at the clock for the end: only the start of a burst costs its requests a wake-up.
void Burst::hold_to_the_end() {
  processors_->hold();
  held_.store(true, std::memory_order_relaxed);
  bool at_rest = false;
  while (!at_rest) {
    std::unique_lock lock(mutex_);
    if (changed_.wait_for(lock, kLinger, [this] { return ended_; })) break;
    at_rest = Clock::now() - last_.load(std::memory_order_relaxed) >= kLinger;
  }
  held_.store(false, std::memory_order_relaxed);
  processors_->release();
  if (at_rest) at_end_();
}

}  // namespace layerfs::fuse
