#include "fs/op/refusals.h"

#include <gtest/gtest.h>

namespace layerfs::op {
namespace {

constexpr pid_t kThread = 7;
constexpr pid_t kOther = 8;

TEST(Refusals, AThreadThatComesBackAtOnceHasNoPath) {
  Refusals refusals;
  EXPECT_FALSE(refusals.take(kThread, 1));
  refusals.add(kThread, 1);
  EXPECT_TRUE(refusals.take(kThread, 1));
  EXPECT_FALSE(refusals.take(kThread, 1));
}

TEST(Refusals, OneThatOpensSomethingElseHasFoundAPath) {
  Refusals refusals;
  refusals.add(kThread, 1);
  EXPECT_FALSE(refusals.take(kThread, 2));
  EXPECT_FALSE(refusals.take(kThread, 1));
}

TEST(Refusals, ThreadsAreToldApart) {
  Refusals refusals;
  refusals.add(kThread, 1);
  EXPECT_FALSE(refusals.take(kOther, 1));
  EXPECT_TRUE(refusals.take(kThread, 1));
}

TEST(Refusals, AnUnknownThreadNeverComesBack) {
  Refusals refusals;
  refusals.add(0, 1);
  EXPECT_FALSE(refusals.take(0, 1));
}

TEST(Refusals, ThreadsThatNeverOpenAgainTakeNoEndlessRoom) {
  Refusals refusals;
  for (pid_t thread = 1; thread <= 1000; ++thread) refusals.add(thread, 1);
  EXPECT_TRUE(refusals.take(1000, 1));
  EXPECT_FALSE(refusals.take(1, 1));
}

}  // namespace
}  // namespace layerfs::op
