// Waiting for a request awake.
#pragma once

#include <atomic>
#include <chrono>

namespace layerfs::fuse {

// Decides whether a thread that waits on /dev/fuse should look again at once instead of sleeping.
// Waking a thread costs more than most requests do, so a short spin pays while requests follow each
// other closely and there is a processor for it, and is waste else: after each that found nothing
// twice as many waits as before are slept through, until one finds a request again. One thread
// spins at a time. Thread-safe.
class Spin {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::microseconds kLength{50};
  static constexpr int kMostSkipped = 4096;

  // Spinning takes a processor, which must not be the only one.
  explicit Spin(bool allowed) : allowed_(allowed) {}

  // The calling thread waits for a request. True: look for it for kLength, then call end(); false:
  // sleep.
  bool begin() noexcept;

  // Ends what begin() said true to; `found`: whether a request came in time.
  void end(bool found) noexcept;

 private:
  const bool allowed_;
  std::atomic<bool> taken_ = false;
  std::atomic<int> to_skip_ = 0;  // waits to be slept through before the next spin
  std::atomic<int> penalty_ = 1;  // to_skip_ after the next spin that finds nothing
};

}  // namespace layerfs::fuse
