// Takes away, by a thread of its own, what nobody waits for.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace layerfs::tree {

// A directory that is removed may hold any number of whiteouts. One rename into the work directory
// takes its name; whoever removed it, and the lock of its parent, need not wait until what it holds
// is gone. Names are collected for a moment, so that one call removes many. The thread starts with
// the first name. Thread-safe.
class Cleaner {
 public:
  using Names = std::vector<std::string>;

  // So many may wait. What they hold is on the disk until then.
  static constexpr std::size_t kMost = 1024;

  // `remove` is called by the thread, with names that were taken, each once; it must not throw.
  explicit Cleaner(std::function<void(const Names&)> remove) : remove_(std::move(remove)) {}
  ~Cleaner() { finish(); }
  Cleaner(const Cleaner&) = delete;
  Cleaner& operator=(const Cleaner&) = delete;

  // False if the caller has to remove it: kMost are waiting, there is no thread to be had, or
  // finish() was called.
  bool take(const std::string& name) noexcept;

  // Returns when all that was taken is removed.
  void finish() noexcept;

 private:
  void serve() noexcept;

  const std::function<void(const Names&)> remove_;
  std::mutex mutex_;
  std::condition_variable changed_;
  Names waiting_;  // guarded by mutex_, as all below
  std::thread thread_;
  bool finished_ = false;
};

}  // namespace layerfs::tree
