// Requests on lower files that have lost their names.
#include <sys/stat.h>

#include <filesystem>
#include <iterator>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fs/op/attr.h"
#include "fs/op/file_system.h"
#include "fs/op/lookup.h"
#include "fs/op/namespace.h"
#include "tests/support/temp_dir.h"

namespace layerfs::op {
namespace {

class Removed : public testing::Test {
 protected:
  Removed() {
    test::write_file(dir_ / "lower/file", "content");
    StackOptions options;
    options.lowerdirs = {dir_ / "lower"};
    options.upperdir = dir_.make("upper");
    options.workdir = dir_.make("work");
    fs_ = *open_file_system(options);
    const auto entry = lookup(*fs_, kRootNode, "file");
    node_ = entry->node;
    attr_ = entry->attr;
    EXPECT_TRUE(unlink(*fs_, kRootNode, "file"));
  }

  // A copy without a name lives by a descriptor.
  static std::ptrdiff_t descriptors() {
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {});
  }

  const test::TempDir dir_;
  FileSystemPtr fs_;
  NodeId node_ = 0;
  struct stat attr_ = {};
};

// With its writeback cache the kernel sends one after each unlink (fuse_update_ctime()).
TEST_F(Removed, AreNotCopiedUpForTheTimeTheyHave) {
  const std::ptrdiff_t before = descriptors();
  AttrChange change;
  change.mtime = attr_.st_mtim;
  const auto changed = setattr(*fs_, node_, change);
  ASSERT_TRUE(changed);
  EXPECT_EQ(changed->st_ino, attr_.st_ino);
  EXPECT_EQ(changed->st_nlink, 0U);
  EXPECT_EQ(descriptors(), before);
}

TEST_F(Removed, TakeAnotherTime) {
  AttrChange change;
  change.mtime = timespec{.tv_sec = 1, .tv_nsec = 2};
  const auto changed = setattr(*fs_, node_, change);
  ASSERT_TRUE(changed);
  EXPECT_EQ(changed->st_mtim.tv_sec, 1);
  const auto later = getattr(*fs_, node_);
  ASSERT_TRUE(later);
  EXPECT_EQ(later->st_mtim.tv_nsec, 2);
}

}  // namespace
}  // namespace layerfs::op
