// One lock per snapshot.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <set>

namespace layerfs::snapshotter {

// Thread-safe. Of two locks nobody waits for one while holding another.
class IdLocks {
 public:
  class Guard {
   public:
    Guard(IdLocks& locks, std::int64_t id) : locks_(locks), id_(id) { locks_.take(id); }
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;
    ~Guard() { locks_.give_back(id_); }

   private:
    IdLocks& locks_;
    const std::int64_t id_;
  };

 private:
  void take(std::int64_t id) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !held_.contains(id); });
    held_.insert(id);
  }

  void give_back(std::int64_t id) {
    const std::lock_guard lock(mutex_);
    held_.erase(id);
    changed_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::set<std::int64_t> held_;  // guarded by mutex_
};

}  // namespace layerfs::snapshotter
