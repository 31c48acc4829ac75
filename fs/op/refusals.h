// Opens that were answered ESTALE.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <mutex>

#include <absl/container/flat_hash_map.h>

#include "fs/op/types.h"

namespace layerfs::op {

// Tells whether an open can find another node. The kernel answers ESTALE by one walk along the path
// anew, and opens what it finds there. A thread whose next open is of the same node had no path to
// walk: it came by a descriptor (/proc/self/fd, execveat(2)) or the root of a bind mount.
// Thread-safe.
class Refusals {
 public:
  // The open of `node` by `thread` is answered ESTALE. 0 stands for a thread that is not known.
  void add(pid_t thread, NodeId node);

  // Whether the last open by `thread` was answered so, was of this node, and was a moment ago. To
  // be called once for each open.
  bool take(pid_t thread, NodeId node);

 private:
  using Clock = std::chrono::steady_clock;
  struct Refused {
    NodeId node;
    Clock::time_point when;
  };
  // A thread may end and never open anything again.
  static constexpr std::size_t kMost = 256;
  static constexpr std::chrono::seconds kMoment{5};

  std::atomic<std::size_t> size_{0};
  std::mutex mutex_;
  absl::flat_hash_map<pid_t, Refused> by_thread_;
};

}  // namespace layerfs::op
