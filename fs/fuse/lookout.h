// Who looks after threads that sleep in a layer.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

namespace layerfs::fuse {

// Calls `look` at regular intervals from note() on, as long as it returns true, and for kLinger
// after; at any other time no thread wakes up. So whoever is called for each request can be seen to
// sleep for what a load and a branch cost: only the first note() after a rest wakes a thread.
class Lookout {
 public:
  static constexpr std::chrono::milliseconds kInterval{10};
  // As many intervals without anything to see. Single requests seldom find the thread at rest.
  static constexpr int kLinger = 200;

  // `look`, on the Lookout's own thread: looks after what sleeps, and returns whether anything is
  // under way. Must not throw.
  explicit Lookout(std::function<bool()> look) : look_(std::move(look)) {}
  ~Lookout() { stop(); }
  Lookout(const Lookout&) = delete;
  Lookout& operator=(const Lookout&) = delete;

  // False if no thread can be started. Not thread-safe, as stop().
  bool start();
  // No call of `look` is under way, or comes, after this.
  void stop();

  // Something has begun, which `look` can see already. Thread-safe.
  void note() noexcept {
    if (!awake_.load(std::memory_order_relaxed)) wake();
  }

 private:
  void wake() noexcept;
  void watch();
  bool pause(std::unique_lock<std::mutex>& lock);

  const std::function<bool()> look_;
  std::atomic<bool> awake_ = false;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool wanted_ = false;  // guarded by mutex_, as is ended_
  bool ended_ = false;
  std::thread thread_;
};

}  // namespace layerfs::fuse
