#include "fs/tree/cleaner.h"

#include <chrono>
#include <exception>
#include <utility>

#include "fs/sys/signals.h"

namespace layerfs::tree {
namespace {

constexpr std::chrono::milliseconds kPause{2};

}  // namespace

bool Cleaner::take(const std::string& name) noexcept {
  try {
    const std::lock_guard lock(mutex_);
    if (finished_ || waiting_.size() >= kMost) return false;
    if (!thread_.joinable()) thread_ = std::thread([this] { serve(); });
    waiting_.push_back(name);
    // Else it has been told, and is on its way.
    if (waiting_.size() > 1) return true;
  } catch (const std::exception&) {
    return false;
  }
  changed_.notify_one();
  return true;
}

void Cleaner::serve() noexcept {
  sys::block_signals();
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return finished_ || !waiting_.empty(); });
    if (waiting_.empty()) return;
    changed_.wait_for(lock, kPause, [this] { return finished_; });
    const Names names = std::exchange(waiting_, {});
    lock.unlock();
    remove_(names);
    lock.lock();
  }
}

void Cleaner::finish() noexcept {
  {
    const std::lock_guard lock(mutex_);
    finished_ = true;
  }
  changed_.notify_one();
  if (thread_.joinable()) thread_.join();
}

}  // namespace layerfs::tree
