#include "tools/container/rootfs.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cstdint>
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

TEST_F(Rootfs, ADeviceOrAHugeFileInPlaceOfUsersIsRefused) {
  stdfs::create_symlink("/zero", root_ + "/etc/passwd");
  ASSERT_EQ(::mknod((root_ + "/zero").c_str(), S_IFCHR | 0666, makedev(1, 5)), 0);
  EXPECT_FALSE(read_user_files(root_));
  stdfs::remove(root_ + "/etc/passwd");
  test::write_file(root_ + "/etc/passwd", "");
  stdfs::resize_file(root_ + "/etc/passwd", std::uintmax_t{1} << 40);
  EXPECT_FALSE(read_user_files(root_));
}

TEST_F(Rootfs, MountPointsAreMadeWhereTheyAreMissing) {
  const MountPoints wanted{.directories = {"/dev", "/sys/fs"}, .files = {"/etc/hosts"}};
  ASSERT_TRUE(make_mount_points(root_, wanted, true));
  EXPECT_FALSE(stdfs::exists(root_ + "/dev"));
  ASSERT_TRUE(make_mount_points(root_, wanted, false));
  ASSERT_TRUE(make_mount_points(root_, wanted, false));
  EXPECT_TRUE(stdfs::is_directory(root_ + "/sys/fs"));
  EXPECT_EQ(test::read_file(root_ + "/etc/hosts"), "");
}

TEST_F(Rootfs, ALinkIsNoMountPoint) {
  stdfs::create_symlink(dir_ / "outside", root_ + "/dev");
  stdfs::create_symlink("/etc", root_ + "/sys");
  for (const bool look_only : {false, true}) {
    for (const std::string path : {"/dev", "/dev/pts", "/sys"}) {
      const auto made = make_mount_points(root_, {.directories = {path}, .files = {}}, look_only);
      ASSERT_FALSE(made) << path;
      EXPECT_THAT(made.error().sentence, HasSubstr("is a symlink"));
    }
  }
  test::write_file(root_ + "/proc", "");
  EXPECT_FALSE(make_mount_points(root_, {.directories = {"/proc"}, .files = {}}, false));
  EXPECT_TRUE(stdfs::is_empty(dir_ / "outside"));
}

TEST_F(Rootfs, AFileTakesThePlaceOfALink) {
  test::write_file(dir_ / "outside/hosts", "outside");
  stdfs::create_symlink(dir_ / "outside/hosts", root_ + "/etc/hosts");
  ASSERT_TRUE(make_mount_points(root_, {.directories = {}, .files = {"/etc/hosts"}}, false));
  EXPECT_FALSE(stdfs::is_symlink(root_ + "/etc/hosts"));
  EXPECT_EQ(test::read_file(dir_ / "outside/hosts"), "outside");
}

TEST_F(Rootfs, RealPathsStayWithinTheRoot) {
  stdfs::create_directories(root_ + "/usr/lib");
  stdfs::create_symlink("/usr/lib", root_ + "/lib");
  stdfs::create_symlink("../../../../usr", root_ + "/up");
  EXPECT_EQ(*real_path_in(root_, "/lib/new/file"), "/usr/lib/new/file");
  EXPECT_EQ(*real_path_in(root_, "/up/lib"), "/usr/lib");
  EXPECT_EQ(*real_path_in(root_, "/../../x"), "/x");
  EXPECT_EQ(*real_path_in(root_, "/"), "/");
}

}  // namespace
}  // namespace layerfs::tools
