#include <fcntl.h>

#include <filesystem>
#include <sstream>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fs/layer/index.h"
#include "fs/sys/unique_fd.h"
#include "tests/support/temp_dir.h"
#include "tools/commands.h"
#include "tools/io.h"

namespace layerfs::tools {
namespace {

using testing::HasSubstr;

struct Ran {
  int status;
  std::string err;
};

Ran layerfs(const Args& args) {
  std::ostringstream out, err;
  Io io{out, err};
  const int status = run_layerfs(args, io);
  return {status, err.str()};
}

TEST(IndexCommand, WritesTheIndexOfADirectory) {
  const test::TempDir dir;
  test::write_file(dir / "layer/a/file", "1");
  ASSERT_EQ(layerfs({"index", dir / "layer", dir / "layer.index"}).status, kDone);
  const auto index = layer::Index::open(AT_FDCWD, (dir / "layer.index").c_str());
  ASSERT_TRUE(index);
  const sys::UniqueFd root(open((dir / "layer").c_str(), O_PATH));
  EXPECT_TRUE((*index)->describes(root.get(), false).value());
  EXPECT_EQ((*index)->inode_count(), 3u);
}

TEST(IndexCommand, WritesItForMountsWithUserXattr) {
  const test::TempDir dir;
  dir.make("layer");
  ASSERT_EQ(layerfs({"index", "--user-xattr", dir / "layer", dir / "index"}).status, kDone);
  const auto index = layer::Index::open(AT_FDCWD, (dir / "index").c_str());
  ASSERT_TRUE(index);
  const sys::UniqueFd root(open((dir / "layer").c_str(), O_PATH));
  EXPECT_TRUE((*index)->describes(root.get(), true).value());
}

TEST(IndexCommand, WritesNothingIntoWhatItDescribes) {
  const test::TempDir dir;
  test::write_file(dir / "layer/a/file", "1");
  for (const char* file : {"layer/index", "layer/a/index", "layer/../layer/index"}) {
    const Ran ran = layerfs({"index", dir / "layer", dir / file});
    EXPECT_EQ(ran.status, kFailed);
    EXPECT_THAT(ran.err, HasSubstr("would lie within"));
  }
  EXPECT_FALSE(std::filesystem::exists(dir / "layer/index"));
}

TEST(IndexCommand, NamesWhatItCannotOpen) {
  const test::TempDir dir;
  const Ran no_layer = layerfs({"index", dir / "none", dir / "index"});
  EXPECT_EQ(no_layer.status, kFailed);
  EXPECT_THAT(no_layer.err, HasSubstr((dir / "none").string()));
  dir.make("layer");
  const Ran no_parent = layerfs({"index", dir / "layer", dir / "nowhere/index"});
  EXPECT_EQ(no_parent.status, kFailed);
  EXPECT_THAT(no_parent.err, HasSubstr((dir / "nowhere").string()));
  EXPECT_EQ(layerfs({"index", dir / "layer", dir.path().string() + "/"}).status, kFailed);
  EXPECT_EQ(layerfs({"index", dir / "layer"}).status, kUsage);
}

}  // namespace
}  // namespace layerfs::tools
