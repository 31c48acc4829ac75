#include "fs/sys/trusted_dir.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fs/sys/file.h"
#include "tests/support/command.h"
#include "tests/support/temp_dir.h"

namespace layerfs::sys {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

constexpr uid_t kAlice = 1000;

class Trusted : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(::geteuid(), 0U);
    ASSERT_EQ(::chmod(dir_.path().c_str(), 0755), 0);
    dir_.make("a");
    fs::create_directory(dir_ / "a/b");
  }

  std::string path(const std::string& name) const { return (dir_ / name).string(); }
  void give(const std::string& name, uid_t uid, gid_t gid, mode_t mode = 0755) const {
    ASSERT_EQ(::chown(path(name).c_str(), uid, gid), 0);
    ASSERT_EQ(::chmod(path(name).c_str(), mode), 0);
  }
  static std::string refusal(const std::string& path) {
    const auto opened = open_trusted(path);
    return opened ? "" : opened.error().sentence;
  }

  test::TempDir dir_;
};

TEST_F(Trusted, ADirectoryOfOnesOwnIsOpened) {
  const auto opened = open_trusted(path("a/../a//b/."));
  ASSERT_TRUE(opened) << opened.error().sentence;
  EXPECT_EQ(opened->path, path("a/b"));
  EXPECT_EQ(stat_fd(opened->fd.get())->st_ino, stat_at(AT_FDCWD, path("a/b").c_str())->st_ino);
  EXPECT_EQ(open_trusted("/")->path, "/");
}

TEST_F(Trusted, ARelativePathBeginsWhereTheProcessIs) {
  const fs::path before = fs::current_path();
  fs::current_path(dir_ / "a");
  EXPECT_EQ(open_trusted("b")->path, path("a/b"));
  fs::current_path(before);
}

TEST_F(Trusted, WhatOthersCanChangeIsRefused) {
  give("a/b", kAlice, kAlice);
  EXPECT_THAT(refusal(path("a/b")), HasSubstr(path("a/b") + "' belongs to user 1000"));
  give("a/b", 0, 0, 0757);
  EXPECT_THAT(refusal(path("a/b")), HasSubstr("others may write"));
  give("a/b", 0, 0, 01757);
  EXPECT_THAT(refusal(path("a/b")), HasSubstr("others may write"));
  give("a/b", 0, kAlice, 0775);
  EXPECT_THAT(refusal(path("a/b")), HasSubstr("others may write"));
  give("a/b", 0, 0, 0775);
  EXPECT_EQ(refusal(path("a/b")), "");
}

TEST_F(Trusted, WhatOthersCanReplaceIsRefused) {
  give("a", kAlice, kAlice);
  EXPECT_THAT(refusal(path("a/b")), HasSubstr(path("a") + "' belongs to user 1000"));
  give("a", 0, 0, 0777);
  EXPECT_THAT(refusal(path("a/b")), HasSubstr("others may write"));
  give("a", 0, 0, 01777);
  EXPECT_EQ(refusal(path("a/b")), "");
  give("a/b", kAlice, kAlice);
  EXPECT_THAT(refusal(path("a/b")), HasSubstr("belongs to user 1000"));
}

TEST_F(Trusted, AnAclIsReadBehindTheGroupsBits) {
  ASSERT_TRUE(test::run({"setfacl", "-m", "u:1000:rwx", path("a")}).ok());
  EXPECT_THAT(refusal(path("a/b")), HasSubstr("others may write"));
  ASSERT_TRUE(test::run({"setfacl", "-m", "u:1000:rx,m::rx", path("a")}).ok());
  EXPECT_EQ(refusal(path("a/b")), "");
}

TEST_F(Trusted, SymlinksAreFollowedIfTheyAreOnesOwn) {
  fs::create_directory_symlink("a", dir_ / "relative");
  fs::create_directory_symlink(dir_ / "relative", dir_ / "absolute");
  EXPECT_EQ(open_trusted(path("absolute/b"))->path, path("a/b"));
  ASSERT_EQ(::lchown(path("relative").c_str(), kAlice, kAlice), 0);
  EXPECT_THAT(refusal(path("absolute/b")), HasSubstr(path("relative") + "' belongs to user 1000"));
  fs::create_directory_symlink("loop", dir_ / "loop");
  EXPECT_THAT(refusal(path("loop")), HasSubstr("loop"));
}

TEST_F(Trusted, WhatIsMissingIsMadeOrNamed) {
  const auto missing = open_trusted(path("a/new/deep"));
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ENOENT);
  const auto made = make_trusted(path("a/new/deep"), 0700);
  ASSERT_TRUE(made) << made.error().sentence;
  EXPECT_EQ(stat_fd(made->fd.get())->st_mode & 07777, 0700U);
  give("a", kAlice, kAlice);
  EXPECT_FALSE(make_trusted(path("a/other"), 0700));
  EXPECT_FALSE(fs::exists(dir_ / "a/other"));
  test::write_file(dir_ / "file", "");
  EXPECT_THAT(refusal(path("file")), HasSubstr("is no directory"));
}

}  // namespace
}  // namespace layerfs::sys
