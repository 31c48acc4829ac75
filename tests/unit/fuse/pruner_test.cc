#include "fs/fuse/pruner.h"

#include <algorithm>
#include <mutex>
#include <set>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace layerfs::fuse {
namespace {

using testing::Contains;
using testing::Each;
using testing::Ge;
using testing::Le;
using testing::Not;

// A kernel that forgets what it is asked to, but for `held`.
class Kernel {
 public:
  explicit Kernel(op::NodeId most) {
    for (op::NodeId id = 2; id <= most; ++id) known_.insert(id);
  }

  Pruner::Nodes nodes() {
    Pruner::Nodes nodes;
    nodes.count = [this] {
      const std::lock_guard lock(mutex_);
      return known_.size();
    };
    nodes.idle = [this] {
      const std::lock_guard lock(mutex_);
      return std::vector<op::NodeId>(known_.rbegin(), known_.rend());
    };
    nodes.forget = [this](std::span<const op::NodeId> ids) -> Result<void> {
      const std::lock_guard lock(mutex_);
      ++calls_;
      largest_ = std::max(largest_, ids.size());
      if (error_ != 0) return fail(error_);
      for (const op::NodeId id : ids)
        if (id >= held_) known_.erase(id);
      return {};
    };
    return nodes;
  }

  void learn(op::NodeId first, op::NodeId last) {
    const std::lock_guard lock(mutex_);
    for (op::NodeId id = first; id <= last; ++id) known_.insert(id);
  }
  std::set<op::NodeId> known() const {
    const std::lock_guard lock(mutex_);
    return known_;
  }
  int calls() const {
    const std::lock_guard lock(mutex_);
    return calls_;
  }
  std::size_t largest() const { return largest_; }

  op::NodeId held_ = 0;  // ids below it are in use
  int error_ = 0;

 private:
  mutable std::mutex mutex_;
  std::set<op::NodeId> known_;
  int calls_ = 0;
  std::size_t largest_ = 0;
};

template <typename Condition>
bool soon(const Condition& condition) {
  for (int i = 0; i < 5000 && !condition(); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  return condition();
}

TEST(Pruner, HasTheOldestForgottenInBatchesUntilThereIsRoom) {
  Kernel kernel(2001);
  Pruner pruner(1600, kernel.nodes());
  pruner.crowded();
  EXPECT_TRUE(soon([&] { return kernel.known().size() == 1400; }));
  EXPECT_THAT(kernel.known(), Each(Ge(602U)));
  EXPECT_EQ(kernel.calls(), 2);
  EXPECT_LE(kernel.largest(), Pruner::kBatch);
}

TEST(Pruner, DoesNothingWhereThereAreFew) {
  Kernel kernel(1000);
  Pruner pruner(1600, kernel.nodes());
  pruner.crowded();
  std::this_thread::sleep_for(Pruner::kPause * 3);
  EXPECT_EQ(kernel.calls(), 0);
}

// What is looked up again has its old id, and is not the next to go.
TEST(Pruner, GoesRoundAllInodes) {
  Kernel kernel(901);
  Pruner pruner(800, kernel.nodes());
  pruner.crowded();
  ASSERT_TRUE(soon([&] { return kernel.known().size() == 700; }));
  kernel.learn(2, 201);
  pruner.crowded();
  ASSERT_TRUE(soon([&] { return kernel.known().size() == 700; }));
  EXPECT_THAT(kernel.known(), Contains(2));
  EXPECT_THAT(kernel.known(), Not(Contains(202)));
}

TEST(Pruner, NeverAsksAKernelAgainThatDoesNotKnowTheQuestion) {
  Kernel kernel(2001);
  kernel.error_ = EINVAL;
  Pruner pruner(100, kernel.nodes());
  for (int i = 0; i < 5; ++i) {
    pruner.crowded();
    std::this_thread::sleep_for(Pruner::kPause * 2);
  }
  EXPECT_EQ(kernel.calls(), 1);
}

TEST(Pruner, AsksEverLessOftenWhereAllIsInUse) {
  Kernel kernel(401);
  kernel.held_ = 1000;
  Pruner pruner(100, kernel.nodes());
  const auto until = std::chrono::steady_clock::now() + Pruner::kPause * 40;
  while (std::chrono::steady_clock::now() < until) {
    pruner.crowded();
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_GE(kernel.calls(), 2);
  EXPECT_THAT(kernel.calls(), Le(7));
}

TEST(Pruner, EndsAtOnce) {
  Kernel kernel(2001);
  Pruner pruner(100, kernel.nodes());
  pruner.crowded();
  pruner.finish();
  pruner.crowded();
  std::this_thread::sleep_for(Pruner::kPause * 2);
  EXPECT_EQ(kernel.calls(), 0);
}

}  // namespace
}  // namespace layerfs::fuse
