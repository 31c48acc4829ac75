// Callers of whom the kernel told no ids.
#include <fcntl.h>
#include <unistd.h>

#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fs/op/file.h"
#include "fs/op/file_system.h"
#include "fs/op/namespace.h"
#include "tests/support/temp_dir.h"

namespace layerfs::op {
namespace {

constexpr auto kNone = static_cast<uid_t>(-1);

class UnknownCaller : public testing::TestWithParam<Caller> {
 protected:
  FileSystemPtr open_union(const IdMaps& ids) const {
    StackOptions options;
    options.lowerdirs = {dir_.make("lower")};
    options.upperdir = dir_.make("upper");
    options.workdir = dir_.make("work");
    options.ids = ids;
    return *open_file_system(options);
  }

  const test::TempDir dir_;
};

TEST_P(UnknownCaller, MakesNothing) {
  const auto fs = open_union({});
  const auto refused = [](const auto& result) {
    return !result && result.error() == Errno(EOVERFLOW);
  };
  EXPECT_TRUE(refused(mkdir(*fs, GetParam(), kRootNode, "dir", 0755)));
  EXPECT_TRUE(refused(mknod(*fs, GetParam(), kRootNode, "pipe", S_IFIFO | 0644, 0)));
  EXPECT_TRUE(refused(symlink(*fs, GetParam(), kRootNode, "link", "target")));
  EXPECT_TRUE(refused(create(*fs, GetParam(), kRootNode, "file", 0644, O_RDWR)));
  EXPECT_TRUE(refused(tmpfile(*fs, GetParam(), kRootNode, 0644, O_RDWR)));
  EXPECT_TRUE(std::filesystem::is_empty(dir_ / "upper"));
}

TEST_P(UnknownCaller, MakesWhatBelongsToOneUserAnyway) {
  const auto fs = open_union({.users = IdMap::squash(5), .groups = IdMap::squash(6)});
  const auto made = mkdir(*fs, GetParam(), kRootNode, "dir", 0755);
  ASSERT_TRUE(made);
  EXPECT_EQ(made->attr.st_uid, 5U);
  EXPECT_EQ(made->attr.st_gid, 6U);
}

INSTANTIATE_TEST_SUITE_P(Caller, UnknownCaller,
                         testing::Values(Caller{.uid = kNone}, Caller{.gid = kNone},
                                         Caller{.uid = kNone, .gid = kNone}));

}  // namespace
}  // namespace layerfs::op
