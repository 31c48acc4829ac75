// Requests that follow each other closely, and processors that stay awake for them.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "fs/fuse/awake.h"

namespace layerfs::fuse {

// The task that made a request sleeps until it is answered, and is then woken on whatever processor
// is idle. To wake that from its sleep can take several times as long as to answer the request, in
// a virtual machine above all. So while requests follow each other closely the processors are kept
// awake, and for kLinger after; at any other time nothing is done and no thread wakes up.
class Burst {
 public:
  using Clock = std::chrono::steady_clock;
  // What one thread must get within kClose to start or prolong a burst.
  static constexpr unsigned kRequests = 16;
  static constexpr std::chrono::microseconds kClose{kRequests * 200};
  static constexpr std::chrono::milliseconds kLinger{4};

  // Null: never anything is done. `at_end` is called on another thread after each burst, not after
  // one that the destructor ends.
  explicit Burst(
      std::unique_ptr<AwakeProcessors> processors, std::function<void()> at_end = [] {});
  ~Burst();
  Burst(const Burst&) = delete;
  Burst& operator=(const Burst&) = delete;

  // The calling thread has got a request. Looks at the clock once in kRequests calls.
  void note() noexcept {
    if (processors_ == nullptr) return;
    static thread_local Pace pace;
    if (++pace.requests < kRequests) return;
    pace.requests = 0;
    const auto now = Clock::now();
    if (now - pace.began < kClose) prolong(now);
    pace.began = now;
  }

  // Whether the processors are kept awake at this moment.
  bool under_way() const noexcept { return held_.load(std::memory_order_relaxed); }

 private:
  struct Pace {
    unsigned requests = 0;
    Clock::time_point began;
  };

  void prolong(Clock::time_point now) noexcept;
  void watch();
  void hold_to_the_end();

  const std::unique_ptr<AwakeProcessors> processors_;
  const std::function<void()> at_end_;
  std::atomic<Clock::time_point> last_{};  // when it was prolonged
  std::atomic<bool> held_ = false;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool wanted_ = false;  // guarded by mutex_, as is ended_
  bool ended_ = false;
  std::thread watcher_;
};

}  // namespace layerfs::fuse
