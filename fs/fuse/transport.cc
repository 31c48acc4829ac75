#include "fs/fuse/transport.h"

#include <linux/fuse.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <system_error>

#include "fs/fuse/config.h"
#include "fs/fuse/signals.h"

namespace layerfs::fuse {

namespace {

// More readers of one queue wake each other for nothing.
constexpr unsigned kFewThreads = 4;

// How long a FORGET that came through /dev/fuse beside io_uring may wait for others.
constexpr std::chrono::milliseconds kForgetPause{2};

bool is_forget(const fuse_buf& buffer) {
  const auto opcode = static_cast<const fuse_in_header*>(buffer.mem)->opcode;
  return opcode == FUSE_FORGET || opcode == FUSE_BATCH_FORGET;
}

void ignore_signal(int) {}

// The handler does nothing: what counts is that read(2) returns EINTR (no SA_RESTART).
void prepare_wake_signal() {
  struct sigaction action = {};
  action.sa_handler = ignore_signal;
  sigemptyset(&action.sa_mask);
  ::sigaction(wake_signal(), &action, nullptr);
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

bool any_thread_answers() { return LAYERFS_LIBFUSE_ANY_THREAD_ANSWERS != 0; }

unsigned thread_count(const MountOptions& options, bool io_uring) {
  if (io_uring) return 1;
  if (options.threads != 0) return options.threads;
  // One for two processors: while it answers, its callers have the other.
  return std::clamp(std::thread::hardware_concurrency() / 2, 1U, kFewThreads);
}

Workers::Workers(fuse_session* session, bool spin, bool beside_rings)
    : session_(session),
      beside_rings_(beside_rings),
      spin_(spin && std::thread::hardware_concurrency() > 1),
      event_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      lookout_([this] { return look(); }) {}

Workers::~Workers() { stop(); }

Outcome<void> Workers::start(unsigned count) {
  if (!event_) return refuse("no event descriptor", EMFILE);
  prepare_wake_signal();
  const std::lock_guard lock(mutex_);
  base_ = count;
  for (unsigned i = 0; i < count; ++i) {
    try {
      add_worker(false);
    } catch (const std::system_error& problem) {
      if (workers_.empty()) return refuse("no thread can be started", problem.code().value());
      base_ = workers_.size();  // fewer threads serve as well
      break;
    }
  }
  // Without it requests are answered all the same while nothing sleeps.
  (void)lookout_.start();
  return {};
}

void Workers::add_worker(bool extra) {
  auto worker = std::make_unique<Worker>();
  Worker& started = *worker;
  started.extra = extra;
  workers_.push_back(std::move(worker));
  try {
    started.thread = std::thread([this, &started] { run(started); });
  } catch (const std::system_error&) {
    workers_.pop_back();
    throw;
  }
}

void Workers::run(Worker& worker) {
  block_signals();
  serve(worker);
  // An extra thread that is not needed any more leaves a mount that goes on.
  const bool all_end = !worker.extra || fuse_session_exited(session_);
  worker.ended = true;
  if (all_end) wake();
}

// Whether all threads are in the request that they were in at the last look: then nobody reads, and
// one more thread does. Threads that come back from a long sleep may find it there: it ends itself.
bool Workers::look() {
  const std::lock_guard lock(mutex_);
  join_ended();
  bool busy = false;
  bool stuck = true;
  for (const auto& worker : workers_) {
    const std::uint64_t turn = worker->turn.load(std::memory_order_relaxed);
    busy = busy || turn % 2 == 1;
    stuck = stuck && turn % 2 == 1 && turn == worker->seen;
    worker->seen = turn;
  }
  if (!stuck || workers_.size() >= base_ + kMostExtra || fuse_session_exited(session_)) return busy;
  try {
    add_worker(true);
  } catch (const std::exception&) {
    // Perhaps at the next look.
  }
  return busy;
}

void Workers::join_ended() {
  std::erase_if(workers_, [](const auto& worker) {
    if (!worker->extra || !worker->ended) return false;
    worker->thread.join();
    return true;
  });
}

// Whether as many threads as there should be wait for requests, or are about to, without this one.
bool Workers::is_enough_without(const Worker& worker) {
  const std::lock_guard lock(mutex_);
  std::size_t free = 0;
  for (const auto& other : workers_) {
    const bool is_free = other->turn.load(std::memory_order_relaxed) % 2 == 0 && !other->ended;
    if (is_free && other.get() != &worker) ++free;
  }
  return free >= base_;
}

void Workers::process(Worker& worker, const fuse_buf& buffer) {
  const std::uint64_t turn = worker.turn.load(std::memory_order_relaxed);
  worker.turn.store(turn + 1, std::memory_order_relaxed);
  lookout_.note();
  fuse_session_process_buf(session_, &buffer);
  worker.turn.store(turn + 2, std::memory_order_relaxed);
}

// Not libfuse's loop: that ends io_uring with the first thread that leaves it, while others may
// still be at work on requests, and knows no spinning.
void Workers::serve(Worker& worker) {
  fuse_buf buffer = {};
  while (!fuse_session_exited(session_)) {
    const int got = receive(buffer);
    if (got == -EINTR) continue;
    if (got <= 0) break;  // the connection has ended
    const bool forget = is_forget(buffer);
    process(worker, buffer);
    if (worker.extra && is_enough_without(worker)) break;
    // Nobody waits for it, and what comes meanwhile is read at once and wakes nobody.
    if (forget && beside_rings_) std::this_thread::sleep_for(kForgetPause);
  }
  std::free(buffer.mem);
}

// A thread that sleeps does so in read(2): of those one is woken for a request, of those in poll(2)
// all.
int Workers::receive(fuse_buf& buffer) {
  if (spin_.begin()) look_awake();
  return fuse_session_receive_buf(session_, &buffer);
}

void Workers::look_awake() {
  const auto begin = Spin::Clock::now();
  pollfd device = {.fd = fuse_session_fd(session_), .events = POLLIN, .revents = 0};
  int ready = 0;
  while ((ready = ::poll(&device, 1, 0)) == 0 && Spin::Clock::now() - begin < Spin::kLength) {
    // Whoever is to send the request may need this processor.
    ::sched_yield();
  }
  // Others may have had the processor for longer than sleeping would have cost.
  spin_.end(ready > 0 && Spin::Clock::now() - begin < 2 * Spin::kLength);
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
  lookout_.stop();
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
