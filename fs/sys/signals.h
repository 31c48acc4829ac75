// Signals and threads.
#pragma once

#include <signal.h>

#include <initializer_list>

namespace layerfs::sys {

// For a thread that works for others: signals for the process go to the threads that wait for them.
// Faults of its own still arrive, and `but`.
inline void block_signals(std::initializer_list<int> but = {}) {
  sigset_t blocked;
  sigfillset(&blocked);
  for (const int signal : but) sigdelset(&blocked, signal);
  for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT}) sigdelset(&blocked, fault);
  ::pthread_sigmask(SIG_SETMASK, &blocked, nullptr);
}

}  // namespace layerfs::sys
