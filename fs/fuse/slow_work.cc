#include "fs/fuse/slow_work.h"

#include <exception>
#include <utility>

#include "fs/fuse/signals.h"

namespace layerfs::fuse {

bool SlowWork::start(std::function<void()> work) noexcept {
  try {
    const std::lock_guard lock(mutex_);
    if (finished_) return false;
    waiting_.push_back(std::move(work));
    const bool short_of_threads =
        idle_ < waiting_.size() && (threads_.size() >= most_threads_ || !add_thread());
    if (threads_.empty()) {
      waiting_.pop_back();
      return false;
    }
    if (short_of_threads) lookout_.note();
  } catch (const std::exception&) {
    return false;
  }
  wanted_.notify_one();
  return true;
}

bool SlowWork::add_thread() noexcept {
  try {
    threads_.emplace_back([this] { serve(); });
    if (threads_.size() == 1) (void)lookout_.start();
    return true;
  } catch (const std::exception&) {
    return false;
  }
}

// One more thread if there is work that waits and none was done since the last look.
bool SlowWork::look() {
  const std::lock_guard lock(mutex_);
  if (finished_ || waiting_.empty()) return false;
  const bool stuck = seen_ == done_count_ && idle_ == 0;
  seen_ = done_count_;
  if (stuck && threads_.size() < most_threads_ + kMostStuck) (void)add_thread();
  return true;
}

void SlowWork::serve() {
  block_signals();
  std::unique_lock lock(mutex_);
  for (;;) {
    ++idle_;
    wanted_.wait(lock, [this] { return finished_ || !waiting_.empty(); });
    --idle_;
    if (waiting_.empty()) return;
    const std::function<void()> work = std::move(waiting_.front());
    waiting_.pop_front();
    ++running_;
    lock.unlock();
    work();
    lock.lock();
    --running_;
    ++done_count_;
    if (running_ == 0 && waiting_.empty()) done_.notify_all();
  }
}

void SlowWork::drain() {
  std::unique_lock lock(mutex_);
  done_.wait(lock, [this] { return running_ == 0 && waiting_.empty(); });
}

void SlowWork::finish() {
  drain();
  {
    const std::lock_guard lock(mutex_);
    finished_ = true;
  }
  wanted_.notify_all();
  lookout_.stop();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

}  // namespace layerfs::fuse
