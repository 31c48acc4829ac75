#include "fs/sys/copy.h"

#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <filesystem>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "fs/sys/unique_fd.h"
#include "tests/support/loop_fs.h"
#include "tests/support/temp_dir.h"

namespace layerfs::sys {
namespace {

using std::filesystem::path;

std::string random_bytes(std::size_t size) {
  std::mt19937_64 random(size);
  std::string bytes(size, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random() | 1);
  return bytes;
}

UniqueFd open_source(const path& file) { return UniqueFd(open(file.c_str(), O_RDONLY)); }
UniqueFd create(const path& file) {
  return UniqueFd(open(file.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600));
}

off_t size_of(const path& file) { return static_cast<off_t>(std::filesystem::file_size(file)); }

blkcnt_t blocks_of(const path& file) {
  struct stat st = {};
  EXPECT_EQ(stat(file.c_str(), &st), 0);
  return st.st_blocks;
}

// Where the data extents begin and end.
std::vector<std::pair<off_t, off_t>> extents(const path& file) {
  const UniqueFd fd = open_source(file);
  std::vector<std::pair<off_t, off_t>> found;
  for (off_t at = 0; (at = lseek(fd.get(), at, SEEK_DATA)) >= 0;) {
    const off_t end = lseek(fd.get(), at, SEEK_HOLE);
    found.emplace_back(at, end);
    at = end;
  }
  return found;
}

bool first_extent_is_shared(const path& file) {
  const UniqueFd fd = open_source(file);
  union {
    struct fiemap map;
    char room[sizeof(struct fiemap) + sizeof(struct fiemap_extent)];
  } query = {};
  query.map.fm_length = FIEMAP_MAX_OFFSET;
  query.map.fm_flags = FIEMAP_FLAG_SYNC;
  query.map.fm_extent_count = 1;
  EXPECT_EQ(ioctl(fd.get(), FS_IOC_FIEMAP, &query.map), 0);
  return query.map.fm_mapped_extents == 1 &&
         (query.map.fm_extents[0].fe_flags & FIEMAP_EXTENT_SHARED) != 0;
}

// A sparse file: data of 128 KiB at 1 MiB and at 5 MiB, a hole before, between, and behind to 9
// MiB.
void make_sparse(const path& file) {
  const UniqueFd fd = create(file);
  const std::string data = random_bytes(128 << 10);
  for (const off_t at : {off_t{1} << 20, off_t{5} << 20}) {
    ASSERT_EQ(pwrite(fd.get(), data.data(), data.size(), at), static_cast<ssize_t>(data.size()));
  }
  ASSERT_EQ(ftruncate(fd.get(), off_t{9} << 20), 0);
  ASSERT_EQ(fsync(fd.get()), 0);
}

void expect_copied(const path& from, const path& to) {
  const UniqueFd source = open_source(from);
  const auto result = copy_data(source.get(), create(to).get(), size_of(from));
  ASSERT_TRUE(result) << result.error().code();
  EXPECT_EQ(size_of(to), size_of(from));
  EXPECT_TRUE(test::read_file(to) == test::read_file(from)) << to;
}

class CopyDataOn : public testing::TestWithParam<std::string> {
 protected:
  const test::TempDir dir_;
  const path fs_ = test::mount_new_fs(dir_, GetParam());
};

TEST_P(CopyDataOn, CopiesEverySize) {
  for (const std::size_t size :
       {0UL, 1UL, 4095UL, 4096UL, 65535UL, 65536UL, 65537UL, 1048576UL, 3000001UL}) {
    const path from = fs_ / ("from" + std::to_string(size));
    test::write_file(from, random_bytes(size));
    expect_copied(from, fs_ / ("to" + std::to_string(size)));
  }
}

TEST_P(CopyDataOn, KeepsHoles) {
  make_sparse(fs_ / "from");
  expect_copied(fs_ / "from", fs_ / "to");
  EXPECT_EQ(extents(fs_ / "to"), extents(fs_ / "from"));
  EXPECT_LT(blocks_of(fs_ / "to"), 1024);
}

TEST_P(CopyDataOn, KeepsASmallFileThatIsAllHole) {
  const UniqueFd from = create(fs_ / "from");
  ASSERT_EQ(ftruncate(from.get(), 40000), 0);
  expect_copied(fs_ / "from", fs_ / "to");
  EXPECT_EQ(blocks_of(fs_ / "to"), 0);
}

TEST_P(CopyDataOn, CopiesZeroesThatAreData) {
  test::write_file(fs_ / "small", std::string(40000, '\0'));
  test::write_file(fs_ / "large", std::string(400000, '\0'));
  expect_copied(fs_ / "small", fs_ / "small-copy");
  expect_copied(fs_ / "large", fs_ / "large-copy");
}

TEST_P(CopyDataOn, CopiesOnlyTheFirstBytesWhenAskedTo) {
  test::write_file(fs_ / "from", random_bytes(1 << 20));
  for (const off_t size : {10, 5000, 70000, 500001}) {
    const path to = fs_ / ("to" + std::to_string(size));
    ASSERT_TRUE(copy_data(open_source(fs_ / "from").get(), create(to).get(), size));
    EXPECT_EQ(test::read_file(to),
              test::read_file(fs_ / "from").substr(0, static_cast<std::size_t>(size)));
  }
}

TEST_P(CopyDataOn, EndsWithAHoleWhereTheSourceIsShorter) {
  for (const std::size_t length : {10UL, 100000UL}) {
    const path from = fs_ / ("from" + std::to_string(length));
    const path to = fs_ / ("to" + std::to_string(length));
    test::write_file(from, random_bytes(length));
    ASSERT_TRUE(copy_data(open_source(from).get(), create(to).get(), 200000));
    EXPECT_EQ(test::read_file(to), random_bytes(length) + std::string(200000 - length, '\0'));
  }
}

TEST_P(CopyDataOn, CopiesFromAReadOnlyCloneOfTheMount) {
  test::write_file(fs_ / "from", random_bytes(300000));
  const UniqueFd clone(static_cast<int>(
      syscall(SYS_open_tree, AT_FDCWD, fs_.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC)));
  ASSERT_TRUE(clone);
  struct mount_attr attr = {};
  attr.attr_set = MOUNT_ATTR_RDONLY;
  ASSERT_EQ(syscall(SYS_mount_setattr, clone.get(), "", AT_EMPTY_PATH, &attr, sizeof attr), 0);
  const UniqueFd from(openat(clone.get(), "from", O_RDONLY));
  ASSERT_TRUE(from);
  ASSERT_TRUE(copy_data(from.get(), create(fs_ / "to").get(), 300000));
  EXPECT_EQ(test::read_file(fs_ / "to"), random_bytes(300000));
  if (GetParam() == "xfs" || GetParam() == "btrfs") {
    EXPECT_TRUE(first_extent_is_shared(fs_ / "to"));
  }
}

TEST_P(CopyDataOn, CopiesToAnotherFileSystem) {
  make_sparse(fs_ / "from");
  const test::TempDir other;
  const path to = test::mount_new_fs(other, GetParam() == "tmpfs" ? "ext4" : "tmpfs") / "to";
  expect_copied(fs_ / "from", to);
  EXPECT_EQ(extents(to), extents(fs_ / "from"));
}

TEST_P(CopyDataOn, ReportsAFullFileSystem) {
  const test::TempDir other;
  const path small = test::mount_new_fs(other, "tmpfs", 1 << 20);
  test::write_file(fs_ / "from", random_bytes(3 << 20));
  const auto result =
      copy_data(open_source(fs_ / "from").get(), create(small / "to").get(), 3 << 20);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code(), ENOSPC);
}

INSTANTIATE_TEST_SUITE_P(FileSystems, CopyDataOn, testing::Values("ext4", "xfs", "btrfs", "tmpfs"),
                         [](const auto& test) { return test.param; });

TEST(OrdersMetadata, KnowsWhatWritesDataBeforeTheMetadataThatSpeaksOfIt) {
  const auto orders = [](const std::string& type, const test::FsWishes& wishes) {
    const test::TempDir dir;
    const sys::UniqueFd fd(
        ::open(test::mount_new_fs(dir, type, 400 << 20, wishes).c_str(), O_PATH | O_CLOEXEC));
    return sys::orders_metadata(fd.get());
  };
  EXPECT_TRUE(orders("ext4", {}));
  EXPECT_TRUE(orders("ext4", {.mount = "data=journal"}));
  EXPECT_FALSE(orders("ext4", {.mount = "data=writeback"}));
  EXPECT_FALSE(orders("ext4", {.make = {"-O", "^has_journal"}}));
  for (const char* type : {"xfs", "btrfs", "tmpfs"}) EXPECT_TRUE(orders(type, {})) << type;
}

TEST(CopyData, CopiesAHugeSparseFileAtOnce) {
  const test::TempDir dir;
  const path from = test::mount_new_fs(dir, "xfs") / "from";
  const path to = test::mount_new_fs(dir, "tmpfs") / "to";
  const off_t size = (off_t{8} << 40) + 3;
  ASSERT_EQ(pwrite(create(from).get(), "end", 3, size - 3), 3);
  ASSERT_TRUE(copy_data(open_source(from).get(), create(to).get(), size));
  EXPECT_EQ(size_of(to), size);
  EXPECT_EQ(extents(to), extents(from));
}

TEST(CopyData, ReportsADescriptorThatCannotBeRead) {
  const test::TempDir dir;
  test::write_file(dir / "from", random_bytes(100));
  const UniqueFd write_only(open((dir / "from").c_str(), O_WRONLY));
  const auto result = copy_data(write_only.get(), create(dir / "to").get(), 100);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code(), EBADF);
}

TEST(CopyData, ReportsADescriptorThatCannotBeWritten) {
  const test::TempDir dir;
  for (const int size : {100, 100000}) {
    test::write_file(dir / "from", random_bytes(static_cast<std::size_t>(size)));
    test::write_file(dir / "to", "");
    const auto result =
        copy_data(open_source(dir / "from").get(), open_source(dir / "to").get(), size);
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code(), EBADF);
  }
}

}  // namespace
}  // namespace layerfs::sys
