// Threads for work that sleeps.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "fs/fuse/lookout.h"

namespace layerfs::fuse {

// Runs what would hold up a thread that others depend on: with io_uring one thread serves all that
// comes from a processor. Threads start when they are needed, up to a limit, and end only with the
// object: the kernel takes back from a thread that ends what it had submitted to a ring, and that
// is what the next request would have come with. Where all threads sleep in a layer that does not
// answer, and more waits, there are more of them than the limit, at most kMostStuck. Thread-safe.
class SlowWork {
 public:
  static constexpr std::size_t kMostStuck = 512;

  explicit SlowWork(unsigned most_threads)
      : most_threads_(most_threads), lookout_([this] { return look(); }) {}
  ~SlowWork() { finish(); }
  SlowWork(const SlowWork&) = delete;
  SlowWork& operator=(const SlowWork&) = delete;

  // Takes `work`, which must not throw; false if it was not taken, and then never runs: there is no
  // thread to be had, or finish() was called.
  bool start(std::function<void()> work) noexcept;

  // Returns when all that was taken is done. The threads stay until the object goes.
  void drain();

  // drain(), and ends the threads.
  void finish();

 private:
  void serve();
  bool look();
  bool add_thread() noexcept;

  const unsigned most_threads_;
  std::mutex mutex_;
  std::condition_variable wanted_;
  std::condition_variable done_;
  std::deque<std::function<void()>> waiting_;  // guarded by mutex_, as all below
  std::vector<std::thread> threads_;
  unsigned idle_ = 0;
  unsigned running_ = 0;
  std::uint64_t done_count_ = 0;
  std::uint64_t seen_ = 0;  // done_count_ at the last look
  bool finished_ = false;
  Lookout lookout_;
};

}  // namespace layerfs::fuse
