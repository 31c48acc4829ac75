#include "fs/fuse/slow_work.h"

#include <atomic>
#include <future>
#include <thread>

#include <gtest/gtest.h>

namespace layerfs::fuse {
namespace {

TEST(SlowWork, RunsOnAnotherThread) {
  SlowWork slow(2);
  std::promise<std::thread::id> ran;
  ASSERT_TRUE(slow.start([&] { ran.set_value(std::this_thread::get_id()); }));
  EXPECT_NE(ran.get_future().get(), std::this_thread::get_id());
}

TEST(SlowWork, WhatSleepsHoldsNothingUpWhileThereAreThreads) {
  SlowWork slow(2);
  std::promise<void> wake;
  std::promise<void> second;
  ASSERT_TRUE(slow.start([&] { wake.get_future().wait(); }));
  ASSERT_TRUE(slow.start([&] { second.set_value(); }));
  second.get_future().wait();
  wake.set_value();
}

TEST(SlowWork, MoreThanThreadsWaitsItsTurn) {
  SlowWork slow(1);
  std::atomic<int> done = 0;
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(slow.start([&] { ++done; }));
  slow.drain();
  EXPECT_EQ(done, 100);
}

TEST(SlowWork, DrainWaitsForWhatRuns) {
  SlowWork slow(4);
  std::atomic<bool> done = false;
  ASSERT_TRUE(slow.start([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    done = true;
  }));
  slow.drain();
  EXPECT_TRUE(done);
}

TEST(SlowWork, TakesNothingAfterItsEnd) {
  SlowWork slow(1);
  slow.finish();
  EXPECT_FALSE(slow.start([] {}));
}

}  // namespace
}  // namespace layerfs::fuse
