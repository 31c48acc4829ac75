// The threads that carry requests from the kernel to the handlers.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "fs/fuse/libfuse.h"
#include "fs/fuse/lookout.h"
#include "fs/fuse/mount_options.h"
#include "fs/fuse/spin.h"
#include "fs/sys/failure.h"
#include "fs/sys/unique_fd.h"

namespace layerfs::fuse {

// Whether requests could come through io_uring: the kernel has it switched on and libfuse knows it.
// The Failure says which is missing.
Outcome<void> io_uring_available();

// Whether a request that came through io_uring may be answered by another thread than it came to,
// so that what sleeps can be done elsewhere. With `auto` there is no io_uring without that.
bool any_thread_answers();

// How many threads read /dev/fuse for these options.
unsigned thread_count(const MountOptions& options, bool io_uring);

// Threads that serve a session over /dev/fuse until it ends. They are started once, since starting
// and ending threads with the load costs more than a sleeping thread. Only while all of them sleep
// in a layer (a FUSE or network file system that does not answer) others are started beside them,
// at most kMostExtra, which end when those are back: so whoever sleeps holds up nobody else.
//
// With io_uring libfuse has threads of its own for nearly all requests; one thread here reads what
// still comes through /dev/fuse.
class Workers {
 public:
  static constexpr std::size_t kMostExtra = 512;

  // `spin`: wait for requests awake for a moment where that pays. `beside_rings`: nearly all
  // requests come through io_uring; of the rest the kernel's FORGETs may wait.
  Workers(fuse_session* session, bool spin, bool beside_rings);
  ~Workers();  // stop()
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  Outcome<void> start(unsigned count);

  // Blocks until the connection has ended or wake() was called.
  void wait();

  // Ends wait(), now or when it comes. Async-signal-safe.
  void wake() noexcept;

  // Lets each thread finish its request, and returns when all have ended.
  void stop();

 private:
  struct alignas(64) Worker {
    std::thread thread;
    std::atomic<bool> ended = false;
    // Odd while it is at work on a request. Written by its thread alone.
    std::atomic<std::uint64_t> turn = 0;
    std::uint64_t seen = 0;  // `turn` at the last look
    bool extra = false;
  };

  // std::system_error
  void add_worker(bool extra);
  void run(Worker& worker);
  void serve(Worker& worker);
  void process(Worker& worker, const fuse_buf& buffer);
  int receive(fuse_buf& buffer);
  void look_awake();
  bool look();
  void join_ended();
  bool is_enough_without(const Worker& worker);

  fuse_session* const session_;
  const bool beside_rings_;
  Spin spin_;
  const sys::UniqueFd event_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Worker>> workers_;  // guarded by mutex_
  std::size_t base_ = 0;                          // those that are not extra; constant once started
  Lookout lookout_;
};

}  // namespace layerfs::fuse
