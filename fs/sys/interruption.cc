#include "fs/sys/interruption.h"

#include <signal.h>

#include <array>
#include <atomic>

namespace layerfs::sys {
namespace {

constexpr std::array kSignals = {SIGTERM, SIGINT, SIGHUP};

// A signal is the whole process', and so is what it asks for.
std::atomic<bool> requested{false};
static_assert(std::atomic<bool>::is_always_lock_free);

void on_signal(int) { request_interruption(); }

void handle(int signal, void (*handler)(int), int flags) {
  struct sigaction before = {};
  ::sigaction(signal, nullptr, &before);
  if (before.sa_handler == SIG_IGN) return;
  struct sigaction action = {};
  action.sa_handler = handler;
  action.sa_flags = flags;
  ::sigaction(signal, &action, nullptr);
}

}  // namespace

bool interruption_requested() noexcept { return requested.load(std::memory_order_relaxed); }

void request_interruption() noexcept { requested.store(true, std::memory_order_relaxed); }

tl::unexpected<Failure> interrupted() { return refuse("it was interrupted by a signal", EINTR); }

InterruptingSignals::InterruptingSignals() {
  // Without SA_RESTART: whoever waits for a lock or for input sees it.
  for (const int signal : kSignals) handle(signal, on_signal, static_cast<int>(SA_RESETHAND));
}

InterruptingSignals::~InterruptingSignals() {
  for (const int signal : kSignals) handle(signal, SIG_DFL, 0);
  requested.store(false, std::memory_order_relaxed);
}

}  // namespace layerfs::sys
