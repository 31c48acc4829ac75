// How much fits. LAYERFS_LIMIT_ENTRIES makes the large directory larger, for runs by hand.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "fs/sys/unique_fd.h"
#include "tests/mount/live_mount.h"
#include "tests/support/command.h"
#include "tests/support/temp_dir.h"

namespace layerfs::test {
namespace {

namespace fs = std::filesystem;

constexpr off_t kTiB = off_t{1} << 40;

std::vector<std::string> names_in(int dirfd) {
  std::vector<std::string> names;
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(
      ::fdopendir(::openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)), ::closedir);
  for (const dirent* entry = nullptr; dir && (entry = ::readdir(dir.get())) != nullptr;)
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  return names;
}

sys::UniqueFd open_dir(const fs::path& path) {
  return sys::UniqueFd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

class Limits : public testing::Test {
 protected:
  Limits() {
    for (const char* name : {"lower", "upper", "work", "mnt"}) dir_.make(name);
  }
  void mount(std::vector<std::string> lowers = {}) {
    fuse::MountOptions options;
    if (lowers.empty()) lowers.push_back(dir_ / "lower");
    options.stack.lowerdirs = std::move(lowers);
    options.stack.upperdir = dir_ / "upper";
    options.stack.workdir = dir_ / "work";
    options.mountpoint = root_;
    mount_.emplace(options);
  }
  void remount() {
    mount_.reset();
    mount();
  }

  const TempDir dir_;
  const fs::path root_ = dir_ / "mnt";
  std::optional<LiveMount> mount_;
};

TEST_F(Limits, AThousandLayersAreOneTree) {
  constexpr int kLayers = 1000;
  std::vector<std::string> lowers;
  for (int i = 0; i < kLayers; ++i) {
    lowers.push_back(dir_ / fmt::format("layers/{}", i));
    write_file(fs::path(lowers.back()) / "dir/shared", fmt::format("of {}", i));
    write_file(fs::path(lowers.back()) / fmt::format("dir/own{}", i), fmt::format("{}", i));
  }
  mount(lowers);
  EXPECT_EQ(names_in(open_dir(root_ / "dir").get()).size(), kLayers + 1U);
  EXPECT_EQ(read_file(root_ / "dir/shared"), "of 0");
  EXPECT_EQ(read_file(root_ / "dir/own999"), "999");
  write_file(root_ / "dir/own999", "new");
  EXPECT_EQ(read_file(root_ / "dir/own999"), "new");
  fs::rename(root_ / "dir", root_ / "moved");
  mount_.reset();
  mount(lowers);
  EXPECT_EQ(read_file(root_ / "moved/own999"), "new");
  EXPECT_EQ(read_file(root_ / "moved/own998"), "998");
  fs::remove_all(root_ / "moved");
  EXPECT_TRUE(names_in(open_dir(root_).get()).empty());
}

TEST_F(Limits, TheProgramTakesAThousandLayers) {
  std::string lowers;
  for (int i = 0; i < 1000; ++i) {
    write_file(dir_ / fmt::format("l/{}/f{}", i, i), "");
    lowers += fmt::format("{}l/{}", lowers.empty() ? "" : ":", i);
  }
  const Ran ran = run({layerfs_program(), "mount", "-o",
                       "lowerdir=" + lowers + ",upperdir=upper,workdir=work", "mnt"},
                      {.directory = dir_.path()});
  ASSERT_EQ(ran.status, 0) << ran.err;
  EXPECT_EQ(names_in(open_dir(root_).get()).size(), 1000U);
  EXPECT_EQ(run({layerfs_program(), "umount", root_}).status, 0);
}

TEST_F(Limits, NamesHave255BytesAndNoMore) {
  const std::string name(255, 'n'), other(255, 'o');
  write_file(dir_ / "lower/dir" / name, "lower");
  fs::create_directory(dir_ / "lower" / other);
  write_file(dir_ / "lower" / other / "inside", "inside");
  mount();
  EXPECT_EQ(read_file(root_ / "dir" / name), "lower");
  EXPECT_EQ(::chmod((root_ / "dir" / name).c_str(), 0600), 0);
  fs::rename(root_ / "dir" / name, root_ / "dir" / other);
  fs::rename(root_ / other, root_ / name);
  fs::create_hard_link(root_ / "dir" / other, root_ / "dir" / name);
  fs::create_directory(root_ / other);
  for (const auto& [path, code] : {std::pair(root_ / (name + "x"), ENAMETOOLONG),
                                   std::pair(root_ / "dir" / (name + "x"), ENAMETOOLONG)}) {
    EXPECT_EQ(::mkdir(path.c_str(), 0755), -1);
    EXPECT_EQ(errno, code);
  }
  remount();
  EXPECT_EQ(read_file(root_ / "dir" / name), "lower");
  EXPECT_EQ(read_file(root_ / name / "inside"), "inside");
  EXPECT_TRUE(fs::is_empty(root_ / other));
  for (const std::string& each : {name, other}) {
    fs::remove_all(root_ / each);
    fs::remove(root_ / "dir" / each);
  }
  remount();
  EXPECT_TRUE(fs::is_empty(root_ / "dir"));
}

// Directories below one another until a path has at least `length` bytes. The last one, open.
sys::UniqueFd make_deep(const fs::path& top, const std::string& name, std::size_t length) {
  sys::UniqueFd at = open_dir(top);
  for (std::size_t made = 0; made < length && at; made += name.size() + 1) {
    ::mkdirat(at.get(), name.c_str(), 0755);
    at.reset(::openat(at.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  }
  return at;
}

bool write_at(int dirfd, const char* name, const std::string& text) {
  const sys::UniqueFd fd(::openat(dirfd, name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  return ::write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

std::string read_at(int dirfd, const char* name) {
  const sys::UniqueFd fd(::openat(dirfd, name, O_RDONLY | O_CLOEXEC));
  std::string text(100, '\0');
  const ssize_t got = ::read(fd.get(), text.data(), text.size());
  text.resize(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
  return text;
}

TEST_F(Limits, PathsAreAsLongAsTheKernelTakesAndTreesDeeper) {
  const std::string name(200, 'd');
  {
    const sys::UniqueFd deep = make_deep(dir_ / "lower", name, 3 * PATH_MAX);
    ASSERT_TRUE(write_at(deep.get(), "file", "lower"));
  }
  mount();
  std::string path = root_;
  while (path.size() + 1 + name.size() < PATH_MAX - 1) path += "/" + name;
  EXPECT_EQ(::access(path.c_str(), R_OK), 0);
  path += "/" + std::string(PATH_MAX - 2 - path.size(), 'e');
  EXPECT_EQ(::mkdir(path.c_str(), 0755), 0) << path.size();
  EXPECT_EQ(::access(path.c_str(), R_OK), 0);
  EXPECT_EQ(::mkdir((path + "e").c_str(), 0755), -1);
  EXPECT_EQ(errno, ENAMETOOLONG);
  {
    const sys::UniqueFd deep = make_deep(root_, name, 3 * PATH_MAX);
    EXPECT_EQ(read_at(deep.get(), "file"), "lower");
    EXPECT_TRUE(write_at(deep.get(), "file", "+upper"));
  }
  remount();
  {
    const sys::UniqueFd deep = make_deep(root_, name, 3 * PATH_MAX);
    EXPECT_EQ(read_at(deep.get(), "file"), "lower+upper");
  }
  EXPECT_EQ(run({"rm", "-rf", root_ / name}).status, 0);
  EXPECT_TRUE(fs::is_empty(root_));
}

TEST_F(Limits, ADirectoryHoldsManyEntries) {
  const char* given = std::getenv("LAYERFS_LIMIT_ENTRIES");
  const int entries = given == nullptr ? 20'000 : std::atoi(given);
  {
    const fs::path big = dir_.make("lower/big");
    const sys::UniqueFd lower = open_dir(big);
    for (int i = 0; i < entries; ++i)
      ASSERT_EQ(::mknodat(lower.get(), std::to_string(i).c_str(), S_IFREG | 0644, 0), 0);
  }
  mount();
  const sys::UniqueFd big = open_dir(root_ / "big");
  const std::vector<std::string> listed = names_in(big.get());
  EXPECT_EQ(listed.size(), static_cast<std::size_t>(entries));
  EXPECT_EQ(std::set<std::string>(listed.begin(), listed.end()).size(), listed.size());
  EXPECT_EQ(::faccessat(big.get(), std::to_string(entries - 1).c_str(), F_OK, 0), 0);
  EXPECT_EQ(::faccessat(big.get(), std::to_string(entries).c_str(), F_OK, 0), -1);
  EXPECT_TRUE(write_at(big.get(), "one-more", "text"));
  EXPECT_EQ(names_in(big.get()).size(), listed.size() + 1);
  EXPECT_EQ(run({"rm", "-rf", root_ / "big"}, {.timeout_seconds = 3000}).status, 0);
  EXPECT_TRUE(fs::is_empty(root_));
}

TEST_F(Limits, ASparseFileOf8TiBIsCopiedUpAsItIs) {
  {
    const sys::UniqueFd fd(::open((dir_ / "lower/big").c_str(), O_RDWR | O_CREAT, 0644));
    ASSERT_EQ(::ftruncate(fd.get(), 8 * kTiB), 0) << "no such files on this file system";
    ASSERT_EQ(::pwrite(fd.get(), "middle", 6, 5 * kTiB), 6);
    ASSERT_EQ(::pwrite(fd.get(), "end", 3, 8 * kTiB - 3), 3);
  }
  mount();
  {
    const sys::UniqueFd fd(::open((root_ / "big").c_str(), O_RDWR | O_CLOEXEC));
    ASSERT_TRUE(fd);
    char text[7] = {};
    EXPECT_EQ(::pread(fd.get(), text, 6, 5 * kTiB), 6);
    EXPECT_STREQ(text, "middle");
    EXPECT_EQ(::pwrite(fd.get(), "begin", 5, 3), 5);
    EXPECT_EQ(::lseek(fd.get(), 1 << 20, SEEK_DATA), 5 * kTiB);
  }
  struct stat st = {};
  EXPECT_EQ(::stat((root_ / "big").c_str(), &st), 0);
  EXPECT_EQ(st.st_size, 8 * kTiB);
  EXPECT_LT(st.st_blocks, 1000);
  const sys::UniqueFd made(::open((root_ / "new").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  EXPECT_EQ(::ftruncate(made.get(), 8 * kTiB), 0);
  EXPECT_EQ(::pwrite(made.get(), "end", 3, 8 * kTiB - 3), 3);
}

}  // namespace
}  // namespace layerfs::test
