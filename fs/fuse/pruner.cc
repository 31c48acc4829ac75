#include "fs/fuse/pruner.h"

#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <exception>

#include <spdlog/spdlog.h>

#include "fs/sys/signals.h"

namespace layerfs::fuse {
namespace {

// The kernel's interface since 6.18 (include/uapi/linux/fuse.h), which older headers lack.
struct NotificationHeader {
  std::uint32_t length;
  std::int32_t code;
  std::uint64_t unique;
};
struct PruneNotification {
  std::uint32_t count;
  std::uint32_t padding;
  std::uint64_t spare;
};
constexpr std::int32_t kNotifyPrune = 9;

// So much of the bound is made free at once.
constexpr std::size_t kRoomShare = 8;

}  // namespace

void Pruner::crowded() noexcept {
  if (asked_.load(std::memory_order_relaxed) || asked_.exchange(true)) return;
  try {
    const std::lock_guard lock(mutex_);
    if (finished_) return;
    if (!thread_.joinable()) thread_ = std::thread([this] { serve(); });
  } catch (const std::exception&) {
    // Without a thread the nodes stay.
    return;
  }
  changed_.notify_one();
}

void Pruner::finish() noexcept {
  {
    const std::lock_guard lock(mutex_);
    finished_ = true;
  }
  changed_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void Pruner::serve() noexcept {
  sys::block_signals();
  std::chrono::milliseconds pause = kPause;
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return finished_ || asked_.load(); });
      if (changed_.wait_for(lock, pause, [this] { return finished_; })) return;
    }
    asked_.store(false);
    const std::size_t count = nodes_.count();
    if (count <= most_) continue;
    const auto helped = prune(count - most_ + most_ / kRoomShare);
    if (!helped) {
      spdlog::debug("the kernel is not asked to forget inodes: {}", helped.error().code());
      return;
    }
    pause = *helped ? kPause : std::min(pause * 2, kLongestPause);
  }
}

Result<bool> Pruner::prune(std::size_t wanted) {
  std::vector<op::NodeId> ids = nodes_.idle();
  std::ranges::sort(ids);
  const op::NodeId last = chosen_.empty() ? 0 : chosen_.back();
  std::ranges::sort(chosen_);
  const auto stayed = std::ranges::count_if(
      chosen_, [&](op::NodeId id) { return std::ranges::binary_search(ids, id); });
  const bool helped = static_cast<std::size_t>(stayed) * 2 <= chosen_.size();
  std::rotate(ids.begin(), std::ranges::upper_bound(ids, last), ids.end());
  ids.resize(std::min(ids.size(), wanted));
  chosen_ = std::move(ids);
  for (std::span<const op::NodeId> rest = chosen_; !rest.empty();) {
    const auto batch = rest.first(std::min(rest.size(), kBatch));
    LAYERFS_TRY(nodes_.forget(batch));
    rest = rest.subspan(batch.size());
  }
  return helped;
}

Result<void> notify_prune(int device, std::span<const op::NodeId> nodes) {
  PruneNotification about = {static_cast<std::uint32_t>(nodes.size()), 0, 0};
  NotificationHeader header = {0, kNotifyPrune, 0};
  header.length = static_cast<std::uint32_t>(sizeof header + sizeof about + nodes.size_bytes());
  std::array<iovec, 3> parts = {{{&header, sizeof header},
                                 {&about, sizeof about},
                                 {const_cast<op::NodeId*>(nodes.data()), nodes.size_bytes()}}};
  if (::writev(device, parts.data(), parts.size()) < 0) return fail(Errno::last());
  return {};
}

}  // namespace layerfs::fuse
