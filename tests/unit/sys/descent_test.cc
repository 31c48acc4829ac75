// Trees deeper than a path, a stack or the descriptors of a process.
#include "fs/sys/descent.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include <gtest/gtest.h>

#include "fs/sys/file.h"
#include "fs/sys/remove_tree.h"
#include "tests/support/temp_dir.h"

namespace layerfs::sys {
namespace {

constexpr int kLevels = 5000;

// Few descriptors while it lives.
class FewDescriptors {
 public:
  FewDescriptors() {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    rlimit few = before_;
    few.rlim_cur = 64;
    ::setrlimit(RLIMIT_NOFILE, &few);
  }
  ~FewDescriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_ = {};
};

class DescentTest : public testing::Test {
 protected:
  UniqueFd open(const char* name) const {
    return UniqueFd(::open((dir_ / name).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  }
  // `levels` directories "d", each in the one before, with a file "f" beside each.
  void make_deep(const char* name, int levels) const {
    UniqueFd at = open(name);
    for (int i = 0; i < levels; ++i) {
      ASSERT_EQ(::mkdirat(at.get(), "d", 0700), 0);
      ASSERT_EQ(::mknodat(at.get(), "f", S_IFREG | 0600, 0), 0);
      at.reset(::openat(at.get(), "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    }
  }

  const test::TempDir dir_;
};

TEST_F(DescentTest, ComesBackFromAnyDepthWithFewDescriptors) {
  dir_.make("top");
  make_deep("top", kLevels);
  const UniqueFd top = open("top");
  const FewDescriptors few;
  auto at = Descent::from(top.get());
  ASSERT_TRUE(at);
  for (int i = 0; i < kLevels; ++i) ASSERT_TRUE(at->enter("d")) << i;
  EXPECT_EQ(at->depth(), std::size_t{kLevels});
  EXPECT_EQ(at->path().size(), std::size_t{2 * kLevels - 1});
  EXPECT_EQ(at->enter("f").error(), Errno(ENOENT));
  for (int i = 0; i < kLevels; ++i) ASSERT_TRUE(at->leave()) << i;
  EXPECT_EQ(at->path(), "");
  EXPECT_EQ(stat_fd(at->fd())->st_ino, stat_fd(top.get())->st_ino);
  EXPECT_EQ(at->enter("f").error(), Errno(ENOTDIR));
  EXPECT_TRUE(remove_tree(top.get(), "d"));
}

TEST_F(DescentTest, FollowsNoSymlink) {
  dir_.make("top");
  dir_.make("else");
  std::filesystem::create_directory_symlink(dir_ / "else", dir_ / "top/link");
  auto at = Descent::from(open("top").get());
  ASSERT_TRUE(at);
  EXPECT_FALSE(at->enter("link"));
  EXPECT_EQ(at->depth(), 0U);
}

TEST_F(DescentTest, DoesNotGoOnAboveADirectoryThatWasMovedAway) {
  dir_.make("top");
  dir_.make("else");
  make_deep("top", 40);
  auto at = Descent::from(open("top").get());
  ASSERT_TRUE(at);
  for (int i = 0; i < 40; ++i) ASSERT_TRUE(at->enter("d"));
  // What the walk holds open no more.
  std::filesystem::rename(dir_ / "top/d/d/d", dir_ / "else/d");
  Result<void> left;
  while (left && at->depth() > 0) left = at->leave();
  ASSERT_FALSE(left);
  EXPECT_EQ(left.error(), Errno(ESTALE));
}

TEST_F(DescentTest, ATreeOfAnyDepthIsRemovedWithFewDescriptors) {
  dir_.make("top");
  make_deep("top", kLevels);
  const UniqueFd above(::open(dir_.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const FewDescriptors few;
  EXPECT_TRUE(remove_tree(above.get(), "top"));
  EXPECT_EQ(remove_tree(above.get(), "top").error(), Errno(ENOENT));
}

TEST_F(DescentTest, RemovalLeavesWhatSymlinksLeadTo) {
  dir_.make("top/in");
  dir_.make("else/kept");
  std::filesystem::create_directory_symlink(dir_ / "else", dir_ / "top/in/link");
  ASSERT_TRUE(remove_tree(AT_FDCWD, (dir_ / "top").c_str()));
  EXPECT_TRUE(std::filesystem::exists(dir_ / "else/kept"));
}

}  // namespace
}  // namespace layerfs::sys
