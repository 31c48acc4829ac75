#include "fs/sys/xattr.h"

#include <fcntl.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "fs/sys/file.h"
#include "tests/support/temp_dir.h"

namespace layerfs::sys {
namespace {

constexpr const char* kName = "trusted.layerfs-test";

// The same file in every way that a caller may have it.
class Xattr : public testing::Test {
 protected:
  void SetUp() override {
    dir_ = UniqueFd(::open(temp_.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    dir_path_ = UniqueFd(::open(temp_.path().c_str(), O_PATH | O_CLOEXEC));
    file_ = UniqueFd(::openat(dir_.get(), "file", O_CREAT | O_RDWR | O_CLOEXEC, 0644));
    path_ = UniqueFd(::openat(dir_.get(), "file", O_PATH | O_CLOEXEC));
    ASSERT_EQ(::symlinkat("file", dir_.get(), "link"), 0);
  }

  std::vector<At> ways() const {
    return {At(file_.get()), At(path_.get()), At(dir_.get(), "file"), At(dir_path_.get(), "file")};
  }

  test::TempDir temp_;
  UniqueFd dir_, dir_path_, file_, path_;
};

TEST_F(Xattr, EachWayToAFileReachesTheSameOne) {
  for (const At& writer : ways()) {
    const std::string value(1000, static_cast<char>('a' + writer.fd % 20));
    ASSERT_TRUE(set_xattr(writer, kName, value));
    for (const At& reader : ways()) {
      EXPECT_EQ(get_xattr(reader, kName).value_or(""), value);
      EXPECT_NE(list_xattr(reader).value_or("").find(kName), std::string::npos);
    }
    ASSERT_TRUE(remove_xattr(writer, kName));
    for (const At& reader : ways()) EXPECT_EQ(get_xattr(reader, kName).error(), Errno(ENODATA));
  }
}

TEST_F(Xattr, OfASymlinkAreItsOwn) {
  ASSERT_TRUE(set_xattr(At(dir_.get(), "link"), kName, "x"));
  EXPECT_EQ(get_xattr(At(dir_.get(), "link"), kName).value_or(""), "x");
  EXPECT_FALSE(get_xattr(At(file_.get()), kName));
}

TEST_F(Xattr, OfAnEmptyNameAreTheDirectorysOwn) {
  ASSERT_TRUE(set_xattr(At(dir_path_.get(), ""), kName, "x"));
  EXPECT_EQ(get_xattr(At(dir_.get()), kName).value_or(""), "x");
}

TEST_F(Xattr, ThatNeedNotBeThereAreAbsentOnlyWhereTheFileSystemSaysSo) {
  for (const At& at : ways()) {
    const auto none = find_xattr(at, kName);
    ASSERT_TRUE(none);
    EXPECT_EQ(*none, std::nullopt);
    const auto no_such_kind = find_xattr(at, "unheard-of.name");
    ASSERT_TRUE(no_such_kind);
    EXPECT_EQ(*no_such_kind, std::nullopt);
  }
  ASSERT_TRUE(set_xattr(At(file_.get()), kName, ""));
  EXPECT_EQ(find_xattr(At(path_.get()), kName).value(), "");
  EXPECT_EQ(find_xattr(At(-1), kName).error(), Errno(EBADF));
  EXPECT_EQ(find_xattr(At(dir_.get(), "gone"), kName).error(), Errno(ENOENT));
}

TEST_F(Xattr, ModeAndSizeAreSetInEachWay) {
  off_t size = 10;
  for (const At& at : ways()) {
    size += 10;
    const mode_t mode = 0600 | (size / 10 % 8);
    ASSERT_TRUE(chmod_at(at, mode));
    ASSERT_TRUE(truncate_at(at, size));
    EXPECT_EQ(stat_of(at)->st_size, size);
    EXPECT_EQ(stat_fd(file_.get())->st_mode & 07777, mode);
  }
}

}  // namespace
}  // namespace layerfs::sys
