// The tour of a new user, as the README has it: in a clone whose build tree nothing has filled.
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/e2e/layerfs.h"
#include "tests/support/temp_dir.h"

namespace layerfs::test {
namespace {

using ::testing::HasSubstr;

// The sources as they are, and nothing that was built.
void copy_sources(const std::filesystem::path& target) {
  const Ran copied = shell("tar -C '" LAYERFS_SOURCE_ROOT
                           "' --exclude='./build*' --exclude=./.git -cf - . | tar -xf - -C '" +
                           target.string() + "'");
  ASSERT_EQ(copied.status, 0) << copied.err;
}

TEST(Quickstart, ShowsAMountedImageFromAnEmptyBuildTreeAndCleansUp) {
  const TempDir dir;
  const std::filesystem::path clone = dir.make("clone");
  ASSERT_NO_FATAL_FAILURE(copy_sources(clone));
  const std::string quickstart = clone / "tools/quickstart";
  // What tests/run has compiled for another directory is as good here.
  const RunOptions options{
      .environment = {"CCACHE_NOHASHDIR=1", "CCACHE_BASEDIR=" + clone.string()},
      .timeout_seconds = 1700};
  const std::string root = clone / "build/quickstart/root";

  const Ran tour = run({quickstart}, options);
  EXPECT_EQ(tour.status, 0) << tour.out << tour.err;
  EXPECT_THAT(tour.out, HasSubstr("  100 % after "));
  EXPECT_THAT(tour.out, HasSubstr("greeting=hello"));
  EXPECT_THAT(tour.out, HasSubstr("hello from Debian"));
  EXPECT_THAT(tour.out, HasSubstr("layerfs umount " + root));
  EXPECT_TRUE(is_mounted(root));
  EXPECT_EQ(read_file(root + "/etc/debian_version"), "changed\n");
  // What the tour does not use is not built: it would double the time to the first mount.
  EXPECT_FALSE(std::filesystem::exists(clone / "build/tests"));
  EXPECT_FALSE(std::filesystem::exists(clone / "build/tools/snapshotter"));

  EXPECT_EQ(run({quickstart, "--umount"}, options).status, 0);
  EXPECT_FALSE(is_mounted(root));
}

}  // namespace
}  // namespace layerfs::test
