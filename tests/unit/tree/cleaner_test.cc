#include "fs/tree/cleaner.h"

#include <atomic>
#include <future>
#include <set>
#include <string>
#include <thread>

#include <gtest/gtest.h>

namespace layerfs::tree {
namespace {

TEST(Cleaner, WhatItTookIsRemovedByAnotherThread) {
  std::promise<std::thread::id> removed;
  Cleaner cleaner([&](const Cleaner::Names& names) {
    if (names == Cleaner::Names{"a"}) removed.set_value(std::this_thread::get_id());
  });
  ASSERT_TRUE(cleaner.take("a"));
  EXPECT_NE(removed.get_future().get(), std::this_thread::get_id());
}

TEST(Cleaner, AllThatItTookIsRemovedOnceBeforeItEnds) {
  std::multiset<std::string> removed;
  {
    Cleaner cleaner(
        [&](const Cleaner::Names& names) { removed.insert(names.begin(), names.end()); });
    for (int i = 0; i < 100; ++i) ASSERT_TRUE(cleaner.take(std::to_string(i)));
  }
  EXPECT_EQ(removed.size(), 100U);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(removed.count(std::to_string(i)), 1U) << i;
}

TEST(Cleaner, TakesNoMoreWhileAsManyAsItMayHaveAreWaiting) {
  std::promise<void> began, end;
  std::atomic<std::size_t> removed = 0;
  Cleaner cleaner([&](const Cleaner::Names& names) {
    if (removed == 0) {
      began.set_value();
      end.get_future().wait();
    }
    removed += names.size();
  });
  ASSERT_TRUE(cleaner.take("first"));
  began.get_future().wait();
  for (std::size_t i = 0; i < Cleaner::kMost; ++i) ASSERT_TRUE(cleaner.take(std::to_string(i)));
  EXPECT_FALSE(cleaner.take("one too many"));
  end.set_value();
  cleaner.finish();
  EXPECT_EQ(removed, Cleaner::kMost + 1);
}

TEST(Cleaner, TakesNothingOnceItIsFinished) {
  Cleaner cleaner([](const Cleaner::Names&) {});
  cleaner.finish();
  EXPECT_FALSE(cleaner.take("a"));
}

}  // namespace
}  // namespace layerfs::tree
