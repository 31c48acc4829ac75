// Being asked to end in the middle of long work.
#pragma once

#include "fs/sys/failure.h"

namespace layerfs::sys {

// Whether the process has been asked to end. What takes long looks now and then, and gives up as
// after any other failure; what cleans up does not look. Thread-safe.
bool interruption_requested() noexcept;

// Asks for it. Safe in a signal handler.
void request_interruption() noexcept;

// The failure of work that was given up for it (EINTR).
tl::unexpected<Failure> interrupted();

// While it lives SIGTERM, SIGINT and SIGHUP ask for it; a second one ends the process at once.
// Ignored signals stay ignored. System calls that wait are interrupted (EINTR). What was asked for
// is forgotten at the end.
class InterruptingSignals {
 public:
  InterruptingSignals();
  InterruptingSignals(const InterruptingSignals&) = delete;
  InterruptingSignals& operator=(const InterruptingSignals&) = delete;
  ~InterruptingSignals();
};

}  // namespace layerfs::sys
