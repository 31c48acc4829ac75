// The birth time that statx(2) tells: that of the inode which is shown.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fs/sys/unique_fd.h"
#include "tests/mount/beside_kernel.h"

namespace layerfs::test {
namespace {

using Requests = std::map<std::string, std::uint64_t>;

// In nanoseconds; 0 where it is not told.
std::int64_t birth_of(const std::filesystem::path& path) {
  struct statx attr = {};
  EXPECT_EQ(
      statx(AT_FDCWD, path.c_str(), AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS | STATX_BTIME, &attr), 0)
      << path;
  if ((attr.stx_mask & STATX_BTIME) == 0) return 0;
  return attr.stx_btime.tv_sec * 1'000'000'000 + attr.stx_btime.tv_nsec;
}

class BirthTime : public BesideKernel {
 protected:
  void mount() {
    for (const char* name : {"chmod", "open", "xattr", "moved", "dir/file"})
      write_file(scratch_ / "lower" / name, "lower");
    // Birth times are those of the clock's last tick.
    usleep(20'000);
    for (const Side* side : {&kernel_, &ours_})
      for (const auto& path : {side->upper, side->work}) {
        std::filesystem::remove_all(path);
        std::filesystem::create_directory(path);
      }
    usleep(20'000);
    ASSERT_NO_FATAL_FAILURE(mount_over(scratch_ / "lower"));
  }

  // Whose birth time `name` has.
  std::string layer_of(const Side& side, const std::string& name) const {
    const std::int64_t birth = birth_of(side.root / name);
    if (birth == 0) return "nobody";
    if (std::filesystem::exists(side.upper / name) && birth == birth_of(side.upper / name))
      return "upper";
    return birth == birth_of(lower_ / name) ? "lower" : "another";
  }

  void expect_layer(const std::string& name, const std::string& layer) const {
    EXPECT_EQ(layer_of(kernel_, name), layer) << name;
    EXPECT_EQ(layer_of(ours_, name), layer) << name;
  }
};

TEST_F(BirthTime, IsThatOfTheLowerInodeUntilItIsCopiedUp) {
  ASSERT_NO_FATAL_FAILURE(mount());
  expect_layer("", "upper");
  for (const char* name : {"chmod", "open", "xattr", "moved", "dir", "dir/file"})
    expect_layer(name, "lower");
  for (const Side* side : {&kernel_, &ours_}) {
    EXPECT_EQ(chmod((side->root / "chmod").c_str(), 0600), 0);
    EXPECT_TRUE(sys::UniqueFd(open((side->root / "open").c_str(), O_RDWR)));
    EXPECT_EQ(setxattr((side->root / "xattr").c_str(), "user.a", "b", 1, 0), 0);
    std::filesystem::rename(side->root / "moved", side->root / "away");
    std::filesystem::rename(side->root / "away", side->root / "moved");
    EXPECT_EQ(mkdir((side->root / "dir/new").c_str(), 0700), 0);
    std::filesystem::create_symlink("nowhere", side->root / "link");
  }
  for (const char* name : {"chmod", "open", "xattr", "moved", "dir", "dir/new"})
    expect_layer(name, "upper");
  EXPECT_NE(birth_of(ours_.root / "link"), 0);
  expect_layer("dir/file", "lower");
}

// Programs that use statx(2) for each stat (those written in Rust, or for Node.js) ask for it.
TEST_F(BirthTime, IsAskedForOnce) {
  ASSERT_NO_FATAL_FAILURE(mount());
  const auto file = ours_.root / "chmod";
  struct stat attr = {};
  EXPECT_EQ(stat(file.c_str(), &attr), 0);
  const auto plain = [&] { EXPECT_EQ(stat(file.c_str(), &attr), 0); };
  const auto full = [&] { EXPECT_NE(birth_of(file), 0); };
  EXPECT_EQ(mount_->requests_of(plain), Requests());
  EXPECT_EQ(mount_->requests_of(full), Requests({{"STATX", 1}}));
  EXPECT_EQ(mount_->requests_of(full), Requests());
  EXPECT_EQ(mount_->requests_of(plain), Requests());
}

TEST_F(BirthTime, IsAskedForOnceMoreAfterACopyUp) {
  ASSERT_NO_FATAL_FAILURE(mount());
  const auto file = ours_.root / "chmod";
  const std::int64_t before = birth_of(file);
  EXPECT_EQ(chmod(file.c_str(), 0600), 0);
  EXPECT_EQ(mount_->requests_of([&] { EXPECT_NE(birth_of(file), before); }),
            Requests({{"STATX", 1}}));
  struct stat attr = {};
  EXPECT_EQ(mount_->requests_of([&] { EXPECT_EQ(stat(file.c_str(), &attr), 0); }), Requests());
  EXPECT_EQ(mount_->requests_of([&] { EXPECT_NE(birth_of(file), before); }), Requests());
}

}  // namespace
}  // namespace layerfs::test
