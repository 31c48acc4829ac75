#include "fs/layer/index_compare.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "fs/layer/index_builder.h"
#include "fs/sys/unique_fd.h"
#include "tests/support/temp_dir.h"

namespace layerfs::layer {
namespace {

// An index of one file with these flags.
std::unique_ptr<Index> index_of(const test::TempDir& dir, std::uint32_t flags) {
  struct stat root = {};
  root.st_mode = S_IFDIR | 0755;
  struct stat file = {};
  file.st_mode = S_IFREG | 0755;
  IndexBuilder builder({}, root, 0);
  EXPECT_TRUE(builder.add_entry(0, "file", builder.add_inode(file, flags).value()));
  const std::string path = dir / std::to_string(flags);
  const sys::UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  EXPECT_TRUE(builder.write(fd.get()));
  return Index::open(AT_FDCWD, path.c_str()).value();
}

TEST(FirstDifference, OfTheSameTreeThereIsNone) {
  const test::TempDir dir;
  const auto index = index_of(dir, index_flag::kUser);
  EXPECT_EQ(first_difference(*index, *index).value(), std::nullopt);
}

TEST(FirstDifference, TellsOfOtherXattrs) {
  const test::TempDir dir;
  EXPECT_EQ(first_difference(*index_of(dir, index_flag::kUser), *index_of(dir, 0)).value(),
            "file has other extended attributes");
}

// Whose only flag for programs meant an execute bit, too.
TEST(FirstDifference, AnIndexOfAnOlderVersionIsOfTheSameTree) {
  const test::TempDir dir;
  const auto was = index_of(dir, index_flag::kMaybeProgram);
  for (const std::uint32_t is : {0U, index_flag::kMaybeProgram | index_flag::kProgram})
    EXPECT_EQ(first_difference(*was, *index_of(dir, is)).value(), std::nullopt);
}

}  // namespace
}  // namespace layerfs::layer
