#include "tools/container/rootfs.h"

#include <sys/stat.h>

#include <filesystem>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/temp_dir.h"

namespace layerfs::tools {
namespace {

namespace stdfs = std::filesystem;
using testing::HasSubstr;

class Rootfs : public testing::Test {
 protected:
  Rootfs() : root_(dir_.make("root")) {
    dir_.make("root/etc");
    dir_.make("outside");
  }

  const test::TempDir dir_;
  const std::string root_;
};

TEST_F(Rootfs, UsersAreTheImagesOwn) {
  test::write_file(root_ + "/etc/passwd", "root:x:0:0::/root:\n");
  test::write_file(root_ + "/etc/group", "root:x:0:\n");
  const auto files = read_user_files(root_);
  ASSERT_TRUE(files) << files.error().sentence;
  EXPECT_EQ(files->passwd, "root:x:0:0::/root:\n");
  EXPECT_EQ(files->group, "root:x:0:\n");
}

TEST_F(Rootfs, AnImageWithoutUsersHasEmptyFiles) {
  const auto files = read_user_files(root_);
  ASSERT_TRUE(files);
  EXPECT_EQ(files->passwd + files->group, "");
}

TEST_F(Rootfs, ALinkToUsersIsFollowedWithinTheRoot) {
  test::write_file(root_ + "/usr/lib/passwd", "inside");
  test::write_file(dir_ / "outside/passwd", "outside");
  stdfs::create_symlink("/usr/lib/passwd", root_ + "/etc/passwd");
  EXPECT_EQ(read_user_files(root_)->passwd, "inside");
  stdfs::remove(root_ + "/etc/passwd");
  stdfs::create_symlink("../../../../" + (dir_ / "outside/passwd").string(), root_ + "/etc/passwd");
  EXPECT_EQ(read_user_files(root_)->passwd, "");
  stdfs::remove(root_ + "/etc/passwd");
  stdfs::create_symlink(dir_ / "outside/passwd", root_ + "/etc/passwd");
  EXPECT_EQ(read_user_files(root_)->passwd, "");
}

TEST_F(Rootfs, AFifoInPlaceOfUsersIsRefusedAtOnce) {
  ASSERT_EQ(::mkfifo((root_ + "/etc/passwd").c_str(), 0644), 0);
  const auto files = read_user_files(root_);
  ASSERT_FALSE(files);
  EXPECT_THAT(files.error().sentence, HasSubstr("not a file of users"));
}

TEST_F(Rootfs, MissingDirectoriesAreMade) {
  ASSERT_TRUE(make_directories(root_, "/srv/a//b/"));
  EXPECT_TRUE(stdfs::is_directory(root_ + "/srv/a/b"));
  ASSERT_TRUE(make_directories(root_, "/srv/a/b"));
  ASSERT_TRUE(make_directories(root_, "/"));
}

TEST_F(Rootfs, DirectoriesAreMadeWithinTheRootOnly) {
  stdfs::create_symlink("/etc", root_ + "/link");
  ASSERT_TRUE(make_directories(root_, "/link/new"));
  EXPECT_TRUE(stdfs::is_directory(root_ + "/etc/new"));
  stdfs::create_symlink(dir_ / "outside", root_ + "/escape");
  EXPECT_FALSE(make_directories(root_, "/escape/new"));
  ASSERT_TRUE(make_directories(root_, "/../../up"));
  EXPECT_TRUE(stdfs::is_empty(dir_ / "outside"));
  EXPECT_FALSE(stdfs::exists(dir_ / "up"));
}

TEST_F(Rootfs, AFileInTheWayIsRefused) {
  test::write_file(root_ + "/file", "");
  const auto made = make_directories(root_, "/file/new");
  ASSERT_FALSE(made);
  EXPECT_THAT(made.error().sentence, HasSubstr("'/file/new'"));
}

}  // namespace
}  // namespace layerfs::tools
