// Cleaning up after a process that could not do it itself.
#pragma once

#include <sys/types.h>

#include <functional>

#include "fs/sys/failure.h"
#include "fs/sys/unique_fd.h"

namespace layerfs::tools {

// A process that waits, and calls a function if this process is killed.
class Janitor {
 public:
  // `clean` runs in the other process, without standard input, output and error.
  // Must be called before the process starts threads.
  static Outcome<Janitor> hire(const std::function<void()>& clean);

  Janitor(Janitor&&) noexcept = default;
  Janitor& operator=(Janitor&&) = delete;
  ~Janitor();  // all is clean: it ends and does nothing

 private:
  Janitor(pid_t pid, sys::UniqueFd line) : pid_(pid), line_(std::move(line)) {}

  pid_t pid_;
  sys::UniqueFd line_;  // closes when this process ends, whatever ends it
};

}  // namespace layerfs::tools
