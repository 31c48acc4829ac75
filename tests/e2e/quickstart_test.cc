// The tour of a new user, as the README has it.
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/e2e/layerfs.h"

namespace layerfs::test {
namespace {

using ::testing::HasSubstr;

TEST(Quickstart, ShowsAMountedImageAndCleansUp) {
  const std::string quickstart = LAYERFS_SOURCE_ROOT "/tools/quickstart";
  const RunOptions options{.environment = {"LAYERFS_BUILD=" LAYERFS_BUILD_ROOT},
                           .timeout_seconds = 600};
  const std::string root = LAYERFS_BUILD_ROOT "/quickstart/root";

  const Ran tour = run({quickstart}, options);
  EXPECT_EQ(tour.status, 0) << tour.out << tour.err;
  EXPECT_THAT(tour.out, HasSubstr("greeting=hello"));
  EXPECT_THAT(tour.out, HasSubstr("hello from Debian"));
  EXPECT_THAT(tour.out, HasSubstr("layerfs umount " + root));
  EXPECT_TRUE(is_mounted(root));
  EXPECT_EQ(read_file(root + "/etc/debian_version"), "changed\n");

  EXPECT_EQ(run({quickstart, "--umount"}, options).status, 0);
  EXPECT_FALSE(is_mounted(root));
}

}  // namespace
}  // namespace layerfs::test
