#include "fs/tree/removed_fds.h"

#include <sys/resource.h>

#include <gtest/gtest.h>

namespace layerfs::tree {
namespace {

class RemovedFdsTest : public testing::Test {
 protected:
  RemovedFdsTest() {
    EXPECT_EQ(::getrlimit(RLIMIT_NOFILE, &before_), 0);
    const rlimit few = {.rlim_cur = 1000, .rlim_max = before_.rlim_max};
    EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
  }
  ~RemovedFdsTest() override { EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &before_), 0); }

  void add(int count) {
    for (int i = 0; i < count; ++i) fds_.add();
  }
  void drop(int count) {
    for (int i = 0; i < count; ++i) fds_.drop();
  }

  rlimit before_ = {};
  RemovedFds fds_;
};

TEST_F(RemovedFdsTest, AreManyFromHalfOfTheLimitOn) {
  add(500);
  EXPECT_FALSE(fds_.are_many());
  add(1);
  EXPECT_TRUE(fds_.are_many());
}

TEST_F(RemovedFdsTest, WhatAWaitInVainHasFoundIsNotWaitedForAgain) {
  add(501);
  fds_.wait();
  EXPECT_FALSE(fds_.are_many());
  // A half of what is left.
  add(249);
  EXPECT_FALSE(fds_.are_many());
  add(1);
  EXPECT_TRUE(fds_.are_many());
  fds_.wait();
  EXPECT_FALSE(fds_.are_many());
}

TEST_F(RemovedFdsTest, CountAgainOnceThoseInUseAreGone) {
  add(501);
  fds_.wait();
  drop(501);
  add(501);
  EXPECT_TRUE(fds_.are_many());
}

}  // namespace
}  // namespace layerfs::tree
