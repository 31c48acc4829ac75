// Loss of power: what the disk below an upper holds at a moment is copied, and looked at. All that
// was not sent to the disk by then is lost.
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <optional>
#include <string>

#include <gtest/gtest.h>

#include "fs/sys/unique_fd.h"
#include "tests/mount/live_mount.h"
#include "tests/support/command.h"
#include "tests/support/loop_fs.h"
#include "tests/support/temp_dir.h"

namespace layerfs::test {
namespace {

namespace fs = std::filesystem;

std::string content_of(char fill, std::size_t size) { return std::string(size, fill); }

class PowerLoss : public testing::Test {
 protected:
  PowerLoss() {
    write_file(dir_ / "lower/dir/file", old_);
    // The journal is written when somebody asks for it, and not by a clock.
    mount_new_fs(dir_, "ext4", 64 << 20, {.mount = "commit=300"});
    must("mkdir mnt fs-ext4/upper fs-ext4/work && sync -f fs-ext4");
    mount();
  }
  void must(const std::string& script) const {
    const Ran ran = shell("cd " + dir_.path().string() + " && " + script);
    if (!ran.ok()) throw std::runtime_error(script + ": " + ran.err);
  }
  void mount() {
    fuse::MountOptions options;
    options.stack.lowerdirs = {dir_ / "lower"};
    options.stack.upperdir = place_ / "upper";
    options.stack.workdir = place_ / "work";
    options.mountpoint = root_;
    mount_.emplace(options);
  }
  // From here on the mount shows what another machine would find on the disk.
  void lose_power() {
    must("cp --sparse=always ext4.img found");
    mount_.reset();
    must("umount fs-ext4 && mount -o loop found fs-ext4");
    mount();
  }
  // Sends the metadata of all that was done to the disk, as any other user of the disk may.
  void sync_something_else() const {
    const sys::UniqueFd fd(
        ::open((place_ / "other").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    EXPECT_EQ(::write(fd.get(), "x", 1), 1);
    EXPECT_EQ(::fsync(fd.get()), 0);
  }
  sys::UniqueFd open_file(int flags) const {
    sys::UniqueFd fd(::open(file_.c_str(), flags | O_CLOEXEC));
    EXPECT_TRUE(fd);
    return fd;
  }

  const std::string old_ = content_of('o', 3'000'000);
  const TempDir dir_;
  const fs::path place_ = dir_ / "fs-ext4";
  const fs::path root_ = dir_ / "mnt";
  const fs::path file_ = root_ / "dir/file";
  std::optional<LiveMount> mount_;
};

TEST_F(PowerLoss, ACopyThatNobodyWroteToHasItsContent) {
  { const sys::UniqueFd fd = open_file(O_RDWR); }
  sync_something_else();
  lose_power();
  EXPECT_TRUE(fs::exists(place_ / "upper/dir/file")) << "the copy-up was lost: nothing is shown";
  EXPECT_TRUE(read_file(file_) == old_);
}

TEST_F(PowerLoss, DataThatFollowedItsMetadataIsThere) {
  ASSERT_EQ(::chmod(file_.c_str(), 0600), 0);
  { const sys::UniqueFd fd = open_file(O_RDWR); }
  sync_something_else();
  lose_power();
  struct stat st = {};
  EXPECT_EQ(::stat(file_.c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777, 0600U);
  EXPECT_TRUE(read_file(file_) == old_);
}

TEST_F(PowerLoss, WhatFsyncPromisedIsThere) {
  {
    const sys::UniqueFd fd = open_file(O_WRONLY | O_TRUNC);
    EXPECT_EQ(::write(fd.get(), "new content", 11), 11);
    EXPECT_EQ(::fsync(fd.get()), 0);
  }
  fs::create_directory(root_ / "made");
  {
    const sys::UniqueFd fd(
        ::open((root_ / "made/here").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    EXPECT_EQ(::write(fd.get(), "text", 4), 4);
    EXPECT_EQ(::fdatasync(fd.get()), 0);
  }
  lose_power();
  EXPECT_EQ(read_file(file_), "new content");
  EXPECT_EQ(read_file(root_ / "made/here"), "text");
}

TEST_F(PowerLoss, FsyncOfAChangeOfModeKeepsIt) {
  const sys::UniqueFd fd = open_file(O_RDONLY);
  ASSERT_EQ(::fchmod(fd.get(), 0600), 0);
  EXPECT_EQ(::fsync(fd.get()), 0);
  lose_power();
  struct stat st = {};
  EXPECT_EQ(::stat(file_.c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777, 0600U);
  EXPECT_TRUE(read_file(file_) == old_);
}

TEST_F(PowerLoss, FsyncOfADirectoryKeepsWhatWasRemovedInIt) {
  ASSERT_EQ(::unlink(file_.c_str()), 0);
  const sys::UniqueFd dir(::open((root_ / "dir").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  EXPECT_EQ(::fsync(dir.get()), 0);
  lose_power();
  EXPECT_FALSE(fs::exists(file_));
}

TEST_F(PowerLoss, WhatWasWrittenSynchronouslyIsThere) {
  {
    const sys::UniqueFd fd = open_file(O_WRONLY | O_SYNC);
    EXPECT_EQ(::pwrite(fd.get(), "new", 3, 1000), 3);
  }
  lose_power();
  std::string expected = old_;
  EXPECT_TRUE(read_file(file_) == expected.replace(1000, 3, "new"));
}

TEST_F(PowerLoss, WhatWasWrittenBeforeAnUnmountIsThere) {
  write_file(file_, "new content");
  write_file(root_ / "made", "text");
  mount_.reset();
  lose_power();
  EXPECT_EQ(read_file(file_), "new content");
  EXPECT_EQ(read_file(root_ / "made"), "text");
}

TEST_F(PowerLoss, WhatWasNotSyncedMayBeLostButIsNeverHalf) {
  { const sys::UniqueFd fd = open_file(O_RDWR); }
  lose_power();
  EXPECT_TRUE(read_file(file_) == old_);
}

TEST(Volatile, SyncsNothingAndMarksTheUpperAsTheKernelDoes) {
  const TempDir dir;
  write_file(dir / "lower/file", "lower");
  for (const char* name : {"upper", "work", "mnt"}) dir.make(name);
  fuse::MountOptions options;
  options.stack.lowerdirs = {dir / "lower"};
  options.stack.upperdir = dir / "upper";
  options.stack.workdir = dir / "work";
  options.stack.volatile_upper = true;
  options.mountpoint = dir / "mnt";
  {
    const LiveMount mount(options);
    const sys::UniqueFd fd(::open((dir / "mnt/file").c_str(), O_RDWR | O_CLOEXEC));
    EXPECT_EQ(::write(fd.get(), "upper", 5), 5);
    EXPECT_EQ(::fsync(fd.get()), 0);
    EXPECT_TRUE(fs::is_directory(dir / "work/work/incompat/volatile"));
  }
  const std::string data = "lowerdir=" + (dir / "lower").string() +
                           ",upperdir=" + (dir / "upper").string() +
                           ",workdir=" + (dir / "work").string();
  EXPECT_NE(::mount("overlay", (dir / "mnt").c_str(), "overlay", 0, data.c_str()), 0);
  EXPECT_EQ(errno, EINVAL);
  // We know that the system has not been started anew since.
  options.stack.volatile_upper = false;
  const LiveMount after(options);
  EXPECT_EQ(read_file(dir / "mnt/file"), "upper");
}

}  // namespace
}  // namespace layerfs::test
