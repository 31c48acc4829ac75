#include "fs/fuse/slow_work.h"

#include <exception>
#include <utility>

#include "fs/fuse/signals.h"

namespace layerfs::fuse {

bool SlowWork::start(std::function<void()> work) noexcept {
  try {
    const std::lock_guard lock(mutex_);
    if (finished_) return false;
    if (idle_ <= waiting_.size() && threads_.size() < most_threads_) {
      try {
        threads_.emplace_back([this] { serve(); });
      } catch (const std::exception&) {
        if (threads_.empty()) return false;  // else those that are there do it all
      }
    }
    waiting_.push_back(std::move(work));
  } catch (const std::exception&) {
    return false;
  }
  wanted_.notify_one();
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
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

}  // namespace layerfs::fuse
