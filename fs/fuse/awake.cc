#include "fs/fuse/awake.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <system_error>
#include <thread>
#include <vector>

#include "fs/fuse/signals.h"
#include "fs/sys/unique_fd.h"

namespace layerfs::fuse {

namespace {

// Microseconds that a processor may take to wake up.
constexpr std::int32_t kNone = 0;
constexpr std::int32_t kAny = -1;  // the kernel's default

class LatencyRequest final : public AwakeProcessors {
 public:
  explicit LatencyRequest(sys::UniqueFd device) : device_(std::move(device)) {}
  void hold() noexcept override { ask_for(kNone); }
  void release() noexcept override { ask_for(kAny); }

 private:
  // What fails costs time only. The request ends with the descriptor.
  void ask_for(std::int32_t microseconds) noexcept {
    [[maybe_unused]] const ssize_t written =
        ::write(device_.get(), &microseconds, sizeof microseconds);
  }

  const sys::UniqueFd device_;
};

// On more processors, threads on all of them would cost more than they save.
constexpr int kMostSpinners = 4;

// Tells the processor that it spins.
void pause() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Any other task takes the processor from a thread of the idle class at once, and the scheduler
// takes a processor that runs nothing else for an idle one.
class Spinners final : public AwakeProcessors {
 public:
  ~Spinners() override {
    ended_ = true;
    release_all();
    for (std::thread& thread : threads_) thread.join();
  }

  // One on each processor of `all`; false if there is none.
  bool start(const cpu_set_t& all) {
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (!CPU_ISSET(cpu, &all)) continue;
      try {
        threads_.emplace_back([this, cpu] { run(cpu); });
      } catch (const std::system_error&) {
        break;  // fewer do less
      }
    }
    return !threads_.empty();
  }

  void hold() noexcept override {
    held_ = true;
    held_.notify_all();
  }
  void release() noexcept override { held_ = false; }

 private:
  void run(int cpu) {
    block_signals();
    cpu_set_t mine;
    CPU_ZERO(&mine);
    CPU_SET(cpu, &mine);
    const sched_param none = {};
    // Spinning in the way of others is worse than not to spin.
    if (::pthread_setaffinity_np(::pthread_self(), sizeof mine, &mine) != 0 ||
        ::pthread_setschedparam(::pthread_self(), SCHED_IDLE, &none) != 0) {
      return;
    }
    while (!ended_) {
      held_.wait(false);
      while (held_ && !ended_) pause();
    }
  }

  void release_all() noexcept {
    held_ = true;  // ends waiting, and ended_ what follows
    held_.notify_all();
  }

  std::atomic<bool> held_ = false;
  std::atomic<bool> ended_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace

std::unique_ptr<AwakeProcessors> awake_processors() {
  cpu_set_t all;
  CPU_ZERO(&all);
  if (::sched_getaffinity(0, sizeof all, &all) != 0) return nullptr;
  // The only processor is the caller's, and never asleep.
  if (CPU_COUNT(&all) < 2) return nullptr;
  sys::UniqueFd device(::open("/dev/cpu_dma_latency", O_WRONLY | O_CLOEXEC));
  if (device) return std::make_unique<LatencyRequest>(std::move(device));
  if (CPU_COUNT(&all) > kMostSpinners) return nullptr;
  auto spinners = std::make_unique<Spinners>();
  if (!spinners->start(all)) return nullptr;
  return spinners;
}

}  // namespace layerfs::fuse
