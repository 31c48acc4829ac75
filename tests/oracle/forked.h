// Work on a mount that may hang or crash: done in a child, watched by the parent.
#pragma once

#include <chrono>
#include <functional>
#include <string>

namespace layerfs::oracle {

enum class ForkedEnd { kDone, kCrashed, kHung };

struct ForkedResult {
  ForkedEnd end = ForkedEnd::kDone;
  std::string output;  // what the child wrote, complete only with kDone
  std::string detail;  // how it ended, for a person
};

// Runs `body` in a forked child with the write end of a pipe and collects what it writes. When
// `limit` is over, calls `on_hang` (which should release the child, by aborting the mount it waits
// for), then kills the child. The child dies with its parent.
ForkedResult run_forked(const std::function<void(int out)>& body, std::chrono::milliseconds limit,
                        const std::function<void()>& on_hang);

// Writes all of `text`; a reader that went away ends the process.
void write_all(int fd, const std::string& text);

}  // namespace layerfs::oracle
