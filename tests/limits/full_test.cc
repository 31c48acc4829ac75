// File systems that refuse: full, over quota, read-only, broken. The caller gets the error, and all
// stays as it was.
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <string>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "fs/sys/unique_fd.h"
#include "tests/mount/live_mount.h"
#include "tests/support/command.h"
#include "tests/support/loop_fs.h"
#include "tests/support/temp_dir.h"

namespace layerfs::test {
namespace {

namespace fs = std::filesystem;

// Every name below `top`, with the size of files. Whiteouts count like all else.
std::map<std::string, std::uintmax_t> tree_of(const fs::path& top) {
  std::map<std::string, std::uintmax_t> tree;
  for (const auto& entry : fs::recursive_directory_iterator(top))
    tree[entry.path().lexically_relative(top)] =
        entry.is_regular_file() ? entry.file_size() : std::uintmax_t{0};
  return tree;
}

int open_error(const fs::path& path, int flags) {
  const sys::UniqueFd fd(::open(path.c_str(), flags | O_CLOEXEC, 0644));
  return fd ? 0 : errno;
}

class Refusing : public testing::Test {
 protected:
  // The upper on a file system of `type` of its own.
  void make_upper(const std::string& type, std::uint64_t bytes) {
    place_ = mount_new_fs(dir_, type, bytes);
    make_dirs();
  }
  void make_dirs() {
    fs::create_directories(place_ / "upper");
    fs::create_directories(place_ / "work");
    dir_.make("mnt");
  }
  void mount() {
    fuse::MountOptions options;
    options.stack.lowerdirs = {dir_ / "lower"};
    options.stack.upperdir = place_ / "upper";
    options.stack.workdir = place_ / "work";
    options.mountpoint = root_;
    mount_.emplace(options);
  }
  std::map<std::string, std::uintmax_t> upper() const { return tree_of(place_ / "upper"); }
  void expect_no_temporaries() const {
    const auto work = tree_of(place_ / "work/work");
    for (const auto& [name, size] : work) {
      struct stat st = {};
      EXPECT_EQ(::lstat((place_ / "work/work" / name).c_str(), &st), 0);
      EXPECT_TRUE(S_ISCHR(st.st_mode)) << name << " is left in the work directory";
    }
  }
  // Takes what room there is, but for `spare` bytes.
  void fill(std::uint64_t spare) const {
    const fs::path file = place_ / "filler";
    const sys::UniqueFd fd(::open(file.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    const std::string block(64 << 10, 'x');
    while (::write(fd.get(), block.data(), block.size()) > 0) {
    }
    ::fsync(fd.get());
    struct stat st = {};
    ::fstat(fd.get(), &st);
    ASSERT_EQ(::ftruncate(fd.get(), st.st_size - static_cast<off_t>(spare)), 0);
    ::sync();
  }

  const TempDir dir_;
  const fs::path root_ = dir_ / "mnt";
  fs::path place_;
  std::optional<LiveMount> mount_;
};

TEST_F(Refusing, ACopyUpThatDoesNotFitLeavesAllAsItWas) {
  const std::string content(8 << 20, 'c');
  write_file(dir_ / "lower/dir/big", content);
  make_upper("ext4", 16 << 20);
  mount();
  fill(1 << 20);
  const auto before = upper();
  for (const int flags : {O_RDWR, O_WRONLY | O_APPEND}) {
    EXPECT_EQ(open_error(root_ / "dir/big", flags), ENOSPC);
  }
  EXPECT_EQ(::truncate((root_ / "dir/big").c_str(), 7 << 20), -1);
  EXPECT_EQ(errno, ENOSPC);
  auto after = upper();
  after.erase("dir");  // copied up on the way, and the same to whoever looks
  EXPECT_EQ(after, before);
  expect_no_temporaries();
  EXPECT_TRUE(read_file(root_ / "dir/big") == content);
  EXPECT_TRUE(read_file(dir_ / "lower/dir/big") == content);
  // With room it goes on.
  fs::remove(place_ / "filler");
  EXPECT_EQ(open_error(root_ / "dir/big", O_RDWR), 0);
  EXPECT_EQ(upper().at("dir/big"), content.size());
}

TEST_F(Refusing, AMetacopyWhoseDataDoesNotFitStaysOne) {
  const std::string content(8 << 20, 'c');
  write_file(dir_ / "lower/big", content);
  make_upper("ext4", 16 << 20);
  mount();
  ASSERT_EQ(::chmod((root_ / "big").c_str(), 0600), 0);
  fill(1 << 20);
  EXPECT_EQ(open_error(root_ / "big", O_RDWR), ENOSPC);
  EXPECT_TRUE(read_file(root_ / "big") == content);
  mount_.reset();
  mount();
  EXPECT_TRUE(read_file(root_ / "big") == content);
  fs::remove(place_ / "filler");
  {
    std::ofstream appended(root_ / "big", std::ios::app);
    appended << "more";
  }
  EXPECT_TRUE(read_file(root_ / "big") == content + "more");
}

TEST_F(Refusing, AFullInodeTableLeavesAllAsItWas) {
  for (int i = 0; i < 20; ++i) write_file(dir_ / fmt::format("lower/dir/f{}", i), "lower");
  place_ = dir_.make("fs");
  ASSERT_EQ(shell(fmt::format("cd {} && truncate -s 16M img && mkfs.ext4 -Fq -N 64 img && "
                              "mount -o loop img fs",
                              dir_.path().string()))
                .status,
            0);
  make_dirs();
  mount();
  // All but two inodes: one for the directory, one for the first file.
  int made = 0;
  while (open_error(place_ / fmt::format("filler{}", made), O_WRONLY | O_CREAT) == 0) ++made;
  for (int i = 0; i < 2; ++i) fs::remove(place_ / fmt::format("filler{}", i));
  int refused = 0;
  for (int i = 0; i < 20; ++i) {
    const fs::path file = root_ / fmt::format("dir/f{}", i);
    if (::chmod(file.c_str(), 0600) != 0) {
      ++refused;
      EXPECT_EQ(errno, ENOSPC);
    }
    EXPECT_EQ(read_file(file), "lower");
  }
  EXPECT_EQ(refused, 19);
  EXPECT_EQ(open_error(root_ / "dir/new", O_WRONLY | O_CREAT), ENOSPC);
  EXPECT_EQ(open_error(root_ / "dir/new", O_RDONLY), ENOENT);
  EXPECT_EQ(::unlink((root_ / "dir/f5").c_str()), -1);
  EXPECT_EQ(errno, ENOSPC);
  EXPECT_EQ(::rmdir((root_ / "dir").c_str()), -1);
  EXPECT_EQ(read_file(root_ / "dir/f5"), "lower");
  expect_no_temporaries();
  for (int i = 2; i < made; ++i) fs::remove(place_ / fmt::format("filler{}", i));
  EXPECT_EQ(::unlink((root_ / "dir/f5").c_str()), 0);
  EXPECT_EQ(::chmod((root_ / "dir/f6").c_str(), 0600), 0);
  mount_.reset();
  mount();
  EXPECT_EQ(open_error(root_ / "dir/f5", O_RDONLY), ENOENT);
  EXPECT_EQ(read_file(root_ / "dir/f6"), "lower");
}

TEST_F(Refusing, AFullQuotaLeavesAllAsItWas) {
  std::string content(8 << 20, 'c');
  for (std::size_t i = 0; i < content.size(); i += 7) content[i] = static_cast<char>(i * 31);
  write_file(dir_ / "lower/big", content);
  const fs::path whole = mount_new_fs(dir_, "btrfs");
  ASSERT_EQ(shell(fmt::format("cd {} && btrfs quota enable . && btrfs subvolume create limited && "
                              "btrfs quota rescan -w . && btrfs qgroup limit 3M limited",
                              whole.string()))
                .status,
            0);
  place_ = whole / "limited";
  make_dirs();
  mount();
  const auto before = upper();
  EXPECT_EQ(open_error(root_ / "big", O_RDWR), EDQUOT);
  EXPECT_EQ(upper(), before);
  expect_no_temporaries();
  EXPECT_TRUE(read_file(root_ / "big") == content);
  ASSERT_EQ(shell("btrfs qgroup limit none " + place_.string()).status, 0);
  EXPECT_EQ(open_error(root_ / "big", O_RDWR), 0);
  EXPECT_TRUE(read_file(root_ / "big") == content);
}

TEST_F(Refusing, AnUpperThatBecomesReadOnlySaysSoAndIsStillRead) {
  write_file(dir_ / "lower/dir/file", "lower");
  write_file(dir_ / "lower/other", "other");
  make_upper("ext4", 32 << 20);
  mount();
  write_file(root_ / "mine", "mine");
  // The kernel tells the daemon of a close when it likes, and until then the file is open.
  auto remount = [&](unsigned long flags) {
    int status = -1;
    for (int tries = 0; status != 0 && tries < 500; ++tries) {
      status = ::mount(nullptr, place_.c_str(), nullptr, MS_REMOUNT | flags, nullptr);
      if (status != 0) ::usleep(10'000);
    }
    return status;
  };
  ASSERT_EQ(remount(MS_RDONLY), 0);
  EXPECT_EQ(open_error(root_ / "mine", O_RDWR), EROFS);
  EXPECT_EQ(open_error(root_ / "dir/file", O_RDWR), EROFS);
  EXPECT_EQ(open_error(root_ / "dir/new", O_WRONLY | O_CREAT), EROFS);
  EXPECT_EQ(::unlink((root_ / "other").c_str()), -1);
  EXPECT_EQ(errno, EROFS);
  EXPECT_EQ(::rename((root_ / "other").c_str(), (root_ / "moved").c_str()), -1);
  EXPECT_EQ(errno, EROFS);
  for (const auto& [name, content] :
       {std::pair("mine", "mine"), std::pair("dir/file", "lower"), std::pair("other", "other")})
    EXPECT_EQ(read_file(root_ / name), content);
  ASSERT_EQ(remount(0), 0);
  EXPECT_EQ(open_error(root_ / "dir/new", O_WRONLY | O_CREAT), 0);
  EXPECT_EQ(::unlink((root_ / "other").c_str()), 0);
}

// An inode that cannot be read: its own name fails, all others are as they were.
TEST_F(Refusing, ABrokenFileOfALayerHurtsNobodyElse) {
  const fs::path layer = mount_new_fs(dir_, "ext4", 32 << 20);
  for (const char* name : {"good", "bad", "worse"}) write_file(layer / "dir" / name, name);
  ASSERT_EQ(shell(fmt::format("umount {0} && debugfs -w -R 'clri /dir/bad' {1}/ext4.img && "
                              "mount -o loop,errors=continue {1}/ext4.img {0}",
                              layer.string(), dir_.path().string()))
                .status,
            0);
  place_ = dir_.path();
  make_dirs();
  fs::create_directory(dir_ / "lower");
  ASSERT_EQ(::mount(layer.c_str(), (dir_ / "lower").c_str(), nullptr, MS_BIND, nullptr), 0);
  mount();
  struct stat st = {};
  EXPECT_EQ(::stat((layer / "dir/bad").c_str(), &st), -1);
  const int code = errno;
  EXPECT_EQ(::stat((root_ / "dir/bad").c_str(), &st), -1);
  EXPECT_EQ(errno, code);
  EXPECT_EQ(::chmod((root_ / "dir/bad").c_str(), 0600), -1);
  EXPECT_EQ(read_file(root_ / "dir/good"), "good");
  write_file(root_ / "dir/worse", "better");
  EXPECT_EQ(read_file(root_ / "dir/worse"), "better");
  EXPECT_EQ(tree_of(place_ / "upper").count("dir/bad"), 0U);
}

}  // namespace
}  // namespace layerfs::test
