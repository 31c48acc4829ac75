#include "tools/container/signals.h"

#include <array>
#include <ctime>

namespace layerfs::tools {

namespace {

constexpr std::array kEnds = {SIGHUP, SIGINT, SIGQUIT, SIGTERM};
constexpr std::array kOthers = {SIGUSR1, SIGUSR2, SIGCHLD};

}  // namespace

SignalWatch::SignalWatch() {
  sigemptyset(&watched_);
  for (const int signal : kEnds) sigaddset(&watched_, signal);
  for (const int signal : kOthers) sigaddset(&watched_, signal);
  ::sigprocmask(SIG_BLOCK, &watched_, &before_);
}

SignalWatch::~SignalWatch() { ::sigprocmask(SIG_SETMASK, &before_, nullptr); }

siginfo_t SignalWatch::wait() const {
  siginfo_t info = {};
  while (::sigwaitinfo(&watched_, &info) < 0) {
  }
  return info;
}

int SignalWatch::asked_to_end() const {
  sigset_t ends;
  sigemptyset(&ends);
  for (const int signal : kEnds) sigaddset(&ends, signal);
  const timespec now = {};
  const int signal = ::sigtimedwait(&ends, nullptr, &now);
  return signal > 0 ? signal : 0;
}

}  // namespace layerfs::tools
