// The threads that carry requests from the kernel to the handlers.
#pragma once

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "fs/fuse/libfuse.h"
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

// A fixed set of threads that serve a session over /dev/fuse until it ends. They are started once,
// since starting and ending threads with the load costs more than a sleeping thread.
//
// With io_uring libfuse has threads of its own for nearly all requests; one thread here reads what
// still comes through /dev/fuse.
class Workers {
 public:
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
  struct Worker {
    std::thread thread;
    std::atomic<bool> ended = false;
  };

  void run(Worker& worker);
  void serve();
  int receive(fuse_buf& buffer);
  void look_awake();

  fuse_session* const session_;
  const bool beside_rings_;
  Spin spin_;
  const sys::UniqueFd event_;
  std::vector<std::unique_ptr<Worker>> workers_;
};

}  // namespace layerfs::fuse
