// What the daemon remembers for the kernel is bounded, and what is in use stays.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "fs/sys/unique_fd.h"
#include "tests/mount/live_mount.h"
#include "tests/support/temp_dir.h"

namespace layerfs::test {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMost = 20000;
constexpr int kDirs = 60;
constexpr int kFilesEach = 5000;  // 300,000 names

std::string name(int dir, int file) { return fmt::format("d{}/file-{:05}", dir, file); }

class Prune : public testing::Test {
 protected:
  Prune() {
    // In memory, where so many files are made in a second or two.
    if (::mount("none", dir_.make("lower").c_str(), "tmpfs", 0, "nr_inodes=400000") != 0)
      throw std::runtime_error("no tmpfs");
    for (int d = 0; d < kDirs; ++d) {
      const fs::path dir = dir_ / "lower" / fmt::format("d{}", d);
      fs::create_directories(dir);
      for (int i = 0; i < kFilesEach; ++i)
        ::mknod((dir_ / "lower" / name(d, i)).c_str(), S_IFREG | 0644, 0);
    }
    for (const char* file : {"d0/file-00000", "d0/file-00001", "d0/file-00002"})
      std::ofstream(dir_ / "lower" / file) << "lower";
    for (const char* each : {"upper", "work", "mnt"}) dir_.make(each);
  }

  ~Prune() override {
    mount_.reset();
    ::umount2((dir_ / "lower").c_str(), MNT_DETACH);
  }

  void mount(std::size_t most) {
    fuse::MountOptions options;
    options.stack.lowerdirs = {dir_ / "lower"};
    options.stack.upperdir = dir_ / "upper";
    options.stack.workdir = dir_ / "work";
    options.mountpoint = root_;
    options.max_inodes = most;
    mount_.emplace(options);
  }

  struct Walk {
    std::size_t files = 0;
    std::size_t most_known = 0;
    double seconds = 0;
  };
  // Looks at each file.
  Walk walk() {
    Walk walk;
    const auto begin = std::chrono::steady_clock::now();
    for (const auto& entry : fs::recursive_directory_iterator(root_)) {
      struct stat st = {};
      if (::lstat(entry.path().c_str(), &st) != 0) continue;
      if (S_ISREG(st.st_mode) && ++walk.files % 1000 == 0)
        walk.most_known = std::max(walk.most_known, mount_->session().known_inodes());
    }
    walk.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    return walk;
  }
  // The kernel tells of what it has forgotten a little later.
  bool is_soon_bounded() {
    for (int i = 0; i < 1000 && mount_->session().known_inodes() > kMost; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    return mount_->session().known_inodes() <= kMost;
  }
  std::string content(const std::string& file) const {
    std::ifstream in(root_ / file);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  ino_t ino(const std::string& file) const {
    struct stat st = {};
    EXPECT_EQ(::stat((root_ / file).c_str(), &st), 0) << file;
    return st.st_ino;
  }

  const TempDir dir_;
  const fs::path root_ = dir_ / "mnt";
  std::optional<LiveMount> mount_;
};

TEST_F(Prune, AWalkLeavesAsManyInodesAsTheBoundAllows) {
  mount(kMost);
  for (int round = 0; round < 2; ++round) {
    const Walk bounded = walk();
    EXPECT_EQ(bounded.files, std::size_t{kDirs} * kFilesEach);
    // Listings bring nodes faster than the kernel's FORGETs take them away.
    EXPECT_LT(bounded.most_known, 2 * kMost);
    EXPECT_TRUE(is_soon_bounded()) << mount_->session().known_inodes();
    fmt::print("walk {}: {:.2f} s, at most {} known\n", round, bounded.seconds, bounded.most_known);
  }
  EXPECT_GT(mount_->session().request_counts()["FORGET"], 0U);
}

TEST_F(Prune, WhatIsInUseStaysAndNothingGoesStale) {
  mount(kMost);
  const sys::UniqueFd open(::open((root_ / name(0, 0)).c_str(), O_RDWR));
  const sys::UniqueFd path(::open((root_ / name(0, 1)).c_str(), O_PATH));
  const sys::UniqueFd dir(::open((root_ / "d1").c_str(), O_RDONLY | O_DIRECTORY));
  const sys::UniqueFd mapped(::open((root_ / name(0, 2)).c_str(), O_RDONLY));
  void* page = ::mmap(nullptr, 5, PROT_READ, MAP_SHARED, mapped.get(), 0);
  ASSERT_NE(page, MAP_FAILED);
  std::ofstream(root_ / name(2, 0)) << "written";
  fs::rename(root_ / name(2, 1), root_ / "renamed");
  fs::create_hard_link(root_ / name(2, 2), root_ / "link");
  fs::remove(root_ / name(2, 3));
  const ino_t before[] = {ino(name(0, 0)), ino(name(2, 0)), ino("renamed"), ino("link"), ino("d1")};
  walk();
  ASSERT_TRUE(is_soon_bounded()) << mount_->session().known_inodes();
  ASSERT_EQ(::pwrite(open.get(), "UPPER", 5, 0), 5);
  EXPECT_EQ(content(name(0, 0)), "UPPER");
  EXPECT_EQ(std::string(static_cast<const char*>(page), 5), "lower");
  std::ofstream(root_ / name(0, 2)) << "after";
  EXPECT_EQ(std::string(static_cast<const char*>(page), 5), "after");
  struct stat st = {};
  EXPECT_EQ(::fstat(path.get(), &st), 0);
  EXPECT_EQ(st.st_ino, ino(name(0, 1)));
  EXPECT_EQ(::fstatat(dir.get(), "file-00007", &st, 0), 0);
  EXPECT_EQ(content(name(2, 0)), "written");
  EXPECT_FALSE(fs::exists(root_ / name(2, 1)));
  EXPECT_FALSE(fs::exists(root_ / name(2, 3)));
  EXPECT_EQ(ino("link"), ino(name(2, 2)));
  const ino_t after[] = {ino(name(0, 0)), ino(name(2, 0)), ino("renamed"), ino("link"), ino("d1")};
  EXPECT_TRUE(std::ranges::equal(before, after));
  ::munmap(page, 5);
}

}  // namespace
}  // namespace layerfs::test
