// Signals and the daemon's threads.
#pragma once

#include <signal.h>

namespace layerfs::fuse {

// Interrupts a thread's wait for requests. Nothing else in the process uses it.
inline int wake_signal() { return SIGRTMIN + 4; }

// For a thread that serves requests: signals for the process go to the threads that wait for them.
// Faults of its own still arrive, and wake_signal().
inline void block_signals() {
  sigset_t blocked;
  sigfillset(&blocked);
  sigdelset(&blocked, wake_signal());
  for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT}) sigdelset(&blocked, fault);
  ::pthread_sigmask(SIG_SETMASK, &blocked, nullptr);
}

}  // namespace layerfs::fuse
