// Waiting for a request awake.
#pragma once

#include <atomic>
#include <chrono>

namespace layerfs::fuse {

// Decides whether a thread that waits on /dev/fuse should look again at once instead of sleeping.
// Waking a thread costs more than most requests do, so a short spin pays while requests follow each
// other closely, and is waste else: it ends after a few that found nothing, until a request comes
// soon after another again. One thread spins at a time. Thread-safe.
class Spin {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::microseconds kLength{50};
  static constexpr int kVainSpins = 3;

  // Spinning takes a processor, which must not be the only one.
  explicit Spin(bool allowed) : allowed_(allowed) {}

  // The calling thread waits for a request. True: look for it for kLength, then call end(); false:
  // sleep, then call slept().
  bool begin() noexcept;

  // Ends what begin() said true to; `request`: whether one came.
  void end(bool request) noexcept;

  // A request came after a sleep of this length, with the time that waking up took: if it is short
  // a spin would have found the request.
  void slept(Clock::duration length) noexcept {
    if (length < 2 * kLength) vain_.store(0, std::memory_order_relaxed);
  }

 private:
  const bool allowed_;
  std::atomic<bool> taken_ = false;
  std::atomic<int> vain_ = 0;  // spins in a row that found nothing
};

}  // namespace layerfs::fuse
