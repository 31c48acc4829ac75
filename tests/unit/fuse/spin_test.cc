#include "fs/fuse/spin.h"

#include <gtest/gtest.h>

namespace layerfs::fuse {
namespace {

// How many waits are slept through before the next spin, which finds nothing again.
int skipped_before_vain_spin(Spin& spin) {
  int skipped = 0;
  while (!spin.begin()) ++skipped;
  spin.end(false);
  return skipped;
}

TEST(Spin, OneThreadAtATime) {
  Spin spin(true);
  EXPECT_TRUE(spin.begin());
  EXPECT_FALSE(spin.begin());
  spin.end(true);
  EXPECT_TRUE(spin.begin());
}

TEST(Spin, GoesOnWhileItFindsRequests) {
  Spin spin(true);
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(spin.begin());
    spin.end(true);
  }
}

TEST(Spin, IsTriedLessAndLessWhileItFindsNothing) {
  Spin spin(true);
  EXPECT_EQ(skipped_before_vain_spin(spin), 0);
  EXPECT_EQ(skipped_before_vain_spin(spin), 1);
  EXPECT_EQ(skipped_before_vain_spin(spin), 2);
  EXPECT_EQ(skipped_before_vain_spin(spin), 4);
  for (int i = 0; i < 20; ++i) skipped_before_vain_spin(spin);
  EXPECT_EQ(skipped_before_vain_spin(spin), Spin::kMostSkipped);
}

TEST(Spin, AFindMakesUpForTheRest) {
  Spin spin(true);
  for (int i = 0; i < 5; ++i) skipped_before_vain_spin(spin);
  while (!spin.begin()) {
  }
  spin.end(true);
  EXPECT_TRUE(spin.begin());
}

TEST(Spin, NeverWhereItIsNotAllowed) {
  Spin spin(false);
  EXPECT_FALSE(spin.begin());
}

}  // namespace
}  // namespace layerfs::fuse
