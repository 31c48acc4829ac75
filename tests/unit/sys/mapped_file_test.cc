#include "fs/sys/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "fs/sys/unique_fd.h"
#include "tests/support/temp_dir.h"

namespace layerfs::sys {
namespace {

class MappedFiles : public testing::Test {
 protected:
  MappedFile map(const std::string& name, std::size_t size) {
    test::write_file(dir_ / name, std::string(size, 'x'));
    const UniqueFd fd(open((dir_ / name).c_str(), O_RDONLY));
    auto mapped = MappedFile::map(fd.get(), size);
    EXPECT_TRUE(mapped);
    return std::move(*mapped);
  }

  const test::TempDir dir_;
};

TEST_F(MappedFiles, ShowTheFile) {
  const MappedFile mapped = map("file", 10000);
  EXPECT_EQ(mapped.size(), 10000u);
  EXPECT_EQ(mapped.data()[0], std::byte{'x'});
  EXPECT_EQ(mapped.data()[9999], std::byte{'x'});
}

TEST_F(MappedFiles, ReadAsZeroesWhereTheFileWasTruncated) {
  MappedFile first = map("first", 100000);
  const MappedFile second = map("second", 100000);
  std::filesystem::resize_file(dir_ / "first", 5000);
  std::filesystem::resize_file(dir_ / "second", 0);
  EXPECT_EQ(first.data()[4999], std::byte{'x'});
  EXPECT_EQ(first.data()[50000], std::byte{0});
  EXPECT_EQ(second.data()[0], std::byte{0});
  const MappedFile moved = std::move(first);
  EXPECT_EQ(moved.data()[99999], std::byte{0});
}

TEST_F(MappedFiles, ComeAndGo) {
  for (int round = 0; round < 3; ++round) {
    std::vector<MappedFile> files;
    for (int i = 0; i < 20; ++i) files.push_back(map("file" + std::to_string(i), 5000));
    std::filesystem::resize_file(dir_ / "file7", 0);
    EXPECT_EQ(files[7].data()[0], std::byte{0});
    EXPECT_EQ(files[8].data()[0], std::byte{'x'});
  }
}

// How many of the pages are mapped in this process.
std::size_t resident_pages(const MappedFile& file) {
  const sys::UniqueFd pagemap(::open("/proc/self/pagemap", O_RDONLY));
  const auto first = reinterpret_cast<std::uintptr_t>(file.data()) / 4096;
  std::vector<std::uint64_t> entries((file.size() + 4095) / 4096);
  EXPECT_GT(
      ::pread(pagemap.get(), entries.data(), entries.size() * 8, static_cast<off_t>(first * 8)), 0);
  std::size_t count = 0;
  for (const std::uint64_t entry : entries) count += entry >> 63;
  return count;
}

TEST_F(MappedFiles, LeaveTheProcessWhenUnloadedAndComeBack) {
  const MappedFile mapped = map("file", 100000);
  EXPECT_EQ(mapped.data()[99999], std::byte{'x'});
  EXPECT_GT(resident_pages(mapped), 0U);
  mapped.unload();
  EXPECT_EQ(resident_pages(mapped), 0U);
  EXPECT_EQ(mapped.data()[50000], std::byte{'x'});
}

TEST_F(MappedFiles, LeaveFaultsElsewhereAlone) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto fault_elsewhere = [&] {
    const MappedFile mapped = map("guarded", 5000);
    test::write_file(dir_ / "other", std::string(5000, 'x'));
    const UniqueFd fd(open((dir_ / "other").c_str(), O_RDONLY));
    void* other = mmap(nullptr, 5000, PROT_READ, MAP_SHARED, fd.get(), 0);
    std::filesystem::resize_file(dir_ / "other", 0);
    volatile char byte = *static_cast<volatile char*>(other);
    (void)byte;
  };
  EXPECT_DEATH(fault_elsewhere(), "");
}

TEST_F(MappedFiles, CannotBeMadeOfADirectory) {
  const UniqueFd fd(open(dir_.path().c_str(), O_RDONLY));
  EXPECT_EQ(MappedFile::map(fd.get(), 100).error().code(), ENODEV);
}

}  // namespace
}  // namespace layerfs::sys
