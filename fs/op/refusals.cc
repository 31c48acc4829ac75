#include "fs/op/refusals.h"

namespace layerfs::op {

void Refusals::add(pid_t thread, NodeId node) {
  if (thread == 0) return;
  std::lock_guard lock(mutex_);
  if (by_thread_.size() == kMost) by_thread_.clear();
  by_thread_.insert_or_assign(thread, Refused{node, Clock::now()});
  size_ = by_thread_.size();
}

bool Refusals::take(pid_t thread, NodeId node) {
  if (size_.load(std::memory_order_relaxed) == 0) return false;
  std::lock_guard lock(mutex_);
  const auto found = by_thread_.find(thread);
  if (found == by_thread_.end()) return false;
  const Refused refused = found->second;
  by_thread_.erase(found);
  size_ = by_thread_.size();
  return refused.node == node && Clock::now() - refused.when < kMoment;
}

}  // namespace layerfs::op
