// A bound to what the kernel has the daemon remember.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "fs/op/types.h"
#include "fs/sys/result.h"

namespace layerfs::fuse {

// The kernel keeps an inode that nobody uses until its memory is short, and the daemon a node for
// each. When there are too many nodes, a thread of its own asks the kernel to forget the inodes
// that are not in use (FUSE_NOTIFY_PRUNE, Linux 6.18). What the kernel still needs it does not
// forget: open or mapped files, working directories, directories with known children. The thread
// starts with the first call of crowded(). Thread-safe.
class Pruner {
 public:
  struct Nodes {
    std::function<std::size_t()> count;
    // Those that the kernel might forget, in any order.
    std::function<std::vector<op::NodeId>()> idle;
    // Asks the kernel to forget these, at most kBatch.
    std::function<Result<void>(std::span<const op::NodeId>)> forget;
  };

  static constexpr std::size_t kBatch = 512;
  // A round begins so long after the nodes have become too many.
  static constexpr std::chrono::milliseconds kPause{20};
  // And the next after a round that has helped little, for most nodes are in use, so long at most.
  static constexpr std::chrono::milliseconds kLongestPause{10000};

  Pruner(std::size_t most, Nodes nodes) : most_(most), nodes_(std::move(nodes)) {}
  ~Pruner() { finish(); }
  Pruner(const Pruner&) = delete;
  Pruner& operator=(const Pruner&) = delete;

  // There are more than `most` nodes. Returns at once; may be called under any lock of fs/tree.
  void crowded() noexcept;

  // Ends the thread. crowded() does nothing from then on.
  void finish() noexcept;

 private:
  void serve() noexcept;
  // Asks for so many to be forgotten. The result: whether the round before had helped.
  Result<bool> prune(std::size_t wanted);

  const std::size_t most_;
  const Nodes nodes_;
  std::atomic<bool> asked_{false};
  // What the last round chose, in order; of the thread alone. A node that is forgotten and looked
  // up again has its old id, so that going round gives all the same time.
  std::vector<op::NodeId> chosen_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::thread thread_;  // guarded by mutex_, as is finished_
  bool finished_ = false;
};

// Asks the kernel behind the /dev/fuse descriptor to forget the inodes that nobody uses of these.
// EINVAL if the kernel does not know the question. Never to be called by a thread that answers
// requests.
Result<void> notify_prune(int device, std::span<const op::NodeId> nodes);

}  // namespace layerfs::fuse
