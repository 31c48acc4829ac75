// The signals that come while a container runs.
#pragma once

#include <signal.h>

namespace layerfs::tools {

// While it lives they are blocked and wait to be fetched, so that none interrupts making or
// removing what a container needs. Children inherit the mask and must be given back mask_before().
// Not for processes with threads.
class SignalWatch {
 public:
  SignalWatch();
  SignalWatch(const SignalWatch&) = delete;
  SignalWatch& operator=(const SignalWatch&) = delete;
  ~SignalWatch();

  // The next one, SIGCHLD included.
  siginfo_t wait() const;

  // One that asks this process to end and has come already, which is thereby fetched; else 0.
  int asked_to_end() const;

  const sigset_t& mask_before() const { return before_; }

 private:
  sigset_t watched_ = {};
  sigset_t before_ = {};
};

}  // namespace layerfs::tools
