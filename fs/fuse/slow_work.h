// Threads for work that sleeps.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace layerfs::fuse {

// Runs what would hold up a thread that others depend on: with io_uring one thread serves all that
// comes from a processor. Threads start when they are needed, up to a limit, and end only with the
// object: the kernel takes back from a thread that ends what it had submitted to a ring, and that
// is what the next request would have come with. Thread-safe.
class SlowWork {
 public:
  explicit SlowWork(unsigned most_threads) : most_threads_(most_threads) {}
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

  const unsigned most_threads_;
  std::mutex mutex_;
  std::condition_variable wanted_;
  std::condition_variable done_;
  std::deque<std::function<void()>> waiting_;  // guarded by mutex_, as all below
  std::vector<std::thread> threads_;
  unsigned idle_ = 0;
  unsigned running_ = 0;
  bool finished_ = false;
};

}  // namespace layerfs::fuse
