#include "fs/fuse/spin.h"

#include <gtest/gtest.h>

namespace layerfs::fuse {
namespace {

TEST(Spin, OneThreadAtATime) {
  Spin spin(true);
  EXPECT_TRUE(spin.begin());
  EXPECT_FALSE(spin.begin());
  spin.end(true);
  EXPECT_TRUE(spin.begin());
}

TEST(Spin, StopsWhenItFindsNothing) {
  Spin spin(true);
  for (int i = 0; i < Spin::kVainSpins; ++i) {
    ASSERT_TRUE(spin.begin());
    spin.end(false);
  }
  EXPECT_FALSE(spin.begin());
}

TEST(Spin, BeginsAgainWhenARequestComesSoon) {
  Spin spin(true);
  for (int i = 0; i < Spin::kVainSpins; ++i) {
    ASSERT_TRUE(spin.begin());
    spin.end(false);
  }
  spin.slept(std::chrono::seconds(1));
  EXPECT_FALSE(spin.begin());
  spin.slept(Spin::kLength);
  EXPECT_TRUE(spin.begin());
}

TEST(Spin, NeverWhereItIsNotAllowed) {
  Spin spin(false);
  spin.slept(Spin::kLength);
  EXPECT_FALSE(spin.begin());
}

}  // namespace
}  // namespace layerfs::fuse
