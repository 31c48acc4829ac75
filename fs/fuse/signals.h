// Signals and the daemon's threads.
#pragma once

#include <signal.h>

#include "fs/sys/signals.h"

namespace layerfs::fuse {

// Interrupts a thread's wait for requests. Nothing else in the process uses it.
inline int wake_signal() { return SIGRTMIN + 4; }

// For a thread that serves requests: sys::block_signals() but for wake_signal().
inline void block_signals() { sys::block_signals({wake_signal()}); }

}  // namespace layerfs::fuse
