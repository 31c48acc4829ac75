#include "fs/fuse/transport.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <fstream>
#include <system_error>

#include "fs/fuse/config.h"

namespace layerfs::fuse {

namespace {

// More readers of one queue wake each other for nothing.
constexpr unsigned kFewThreads = 4;

// Interrupts a worker's read of /dev/fuse. Nothing else in the process uses it.
int wake_signal() { return SIGRTMIN + 4; }

void ignore_signal(int) {}

// The handler does nothing: what counts is that read(2) returns EINTR (no SA_RESTART).
void prepare_wake_signal() {
  struct sigaction action = {};
  action.sa_handler = ignore_signal;
  sigemptyset(&action.sa_mask);
  ::sigaction(wake_signal(), &action, nullptr);
}

// Signals for the process go to the threads that wait for them, not to one that serves a request.
void block_other_signals() {
  sigset_t blocked;
  sigfillset(&blocked);
  sigdelset(&blocked, wake_signal());
  for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT}) sigdelset(&blocked, fault);
  ::pthread_sigmask(SIG_SETMASK, &blocked, nullptr);
}

}  // namespace

Outcome<void> io_uring_available() {
#if LAYERFS_LIBFUSE_HAS_URING
  std::ifstream parameter("/sys/module/fuse/parameters/enable_uring");
  std::string value;
  if (!(parameter >> value)) {
    return refuse("this kernel has no FUSE over io_uring (Linux 6.14 and later have it)", ENOSYS);
  }
  if (value != "Y") {
    return refuse(
        "FUSE over io_uring is switched off; root switches it on with "
        "`echo Y > /sys/module/fuse/parameters/enable_uring`",
        ENOSYS);
  }
  return {};
#else
  return refuse("this libfuse has no io_uring (3.18 and later have it)", ENOSYS);
#endif
}

unsigned thread_count(const MountOptions& options, bool io_uring) {
  if (io_uring) return 1;
  if (options.threads != 0) return options.threads;
  return std::clamp(std::thread::hardware_concurrency(), 2U, kFewThreads);
}

Workers::Workers(fuse_session* session)
    : session_(session), event_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

Workers::~Workers() { stop(); }

Outcome<void> Workers::start(unsigned count) {
  if (!event_) return refuse("no event descriptor", EMFILE);
  prepare_wake_signal();
  for (unsigned i = 0; i < count; ++i) {
    auto worker = std::make_unique<Worker>();
    Worker& started = *worker;
    workers_.push_back(std::move(worker));
    try {
      started.thread = std::thread([this, &started] { run(started); });
    } catch (const std::system_error& problem) {
      workers_.pop_back();
      if (workers_.empty()) return refuse("no thread can be started", problem.code().value());
      break;  // fewer threads serve as well
    }
  }
  return {};
}

void Workers::run(Worker& worker) {
  block_other_signals();
  fuse_session_loop(session_);
  worker.ended = true;
  wake();
}

void Workers::wait() {
  // Not a blocking read: the descriptor is shared with wake(), which must never block.
  pollfd waiting = {.fd = event_.get(), .events = POLLIN, .revents = 0};
  while (::poll(&waiting, 1, -1) < 0 && errno == EINTR) {
  }
}

void Workers::wake() noexcept {
  const std::uint64_t one = 1;
  // Fails only if the counter is full, and then wait() ends anyway.
  [[maybe_unused]] const ssize_t written = ::write(event_.get(), &one, sizeof one);
}

void Workers::stop() {
  fuse_session_exit(session_);
  // A signal that comes just before the read does not interrupt it: try again until it works.
  for (const auto& worker : workers_) {
    while (!worker->ended) {
      ::pthread_kill(worker->thread.native_handle(), wake_signal());
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    worker->thread.join();
  }
  workers_.clear();
}

}  // namespace layerfs::fuse
