// Attributes through a real mount.
#include <fcntl.h>
#include <grp.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include <gtest/gtest.h>

#include "fs/sys/unique_fd.h"
#include "tests/mount/live_mount.h"
#include "tests/support/temp_dir.h"

namespace layerfs::test {
namespace {

constexpr uid_t kUser = 12345;

struct stat attr_of(const std::filesystem::path& path) {
  struct stat attr = {};
  EXPECT_EQ(lstat(path.c_str(), &attr), 0) << path;
  return attr;
}
mode_t mode_of(const std::filesystem::path& path) { return attr_of(path).st_mode & 07777; }

// Runs `body` in a process of an ordinary user; true if it returned true.
bool as_user(const std::function<bool()>& body) {
  const pid_t child = fork();
  if (child == 0) {
    // The daemon in this process keeps its capabilities over a change of ids; a user does not.
    const bool became = prctl(PR_SET_SECUREBITS, 0) == 0 && setgroups(0, nullptr) == 0 &&
                        setgid(kUser) == 0 && setuid(kUser) == 0;
    _exit(became && body() ? 0 : 1);
  }
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

void set_capability(const std::filesystem::path& file) {
  // VFS_CAP_REVISION_2 with CAP_NET_RAW permitted and effective.
  const unsigned char value[20] = {1, 0, 0, 2, 0, 0x20};
  EXPECT_EQ(setxattr(file.c_str(), "security.capability", value, sizeof value, 0), 0);
}
bool has_capability(const std::filesystem::path& file) {
  return getxattr(file.c_str(), "security.capability", nullptr, 0) > 0;
}

// Makes the file look old, and has the kernel know it.
struct stat set_old_times(const std::filesystem::path& file) {
  const timespec times[2] = {{.tv_sec = 1000000000, .tv_nsec = 0},
                             {.tv_sec = 1000000000, .tv_nsec = 0}};
  EXPECT_EQ(utimensat(AT_FDCWD, file.c_str(), times, 0), 0);
  return attr_of(file);
}

// The marks of chattr(1) that the tests set and clear; the others stay.
void set_marks(int fd, int marks) {
  int all = 0;
  EXPECT_EQ(ioctl(fd, FS_IOC_GETFLAGS, &all), 0);
  all = (all & ~(FS_APPEND_FL | FS_IMMUTABLE_FL | FS_NODUMP_FL)) | marks;
  EXPECT_EQ(ioctl(fd, FS_IOC_SETFLAGS, &all), 0);
}

class Attr : public testing::Test {
 protected:
  Attr() {
    chmod(dir_.path().c_str(), 0755);
    write_file(dir_ / "lower/file", "lower");
    write_file(dir_ / "lower/setuid", "lower");
    chmod((dir_ / "lower/file").c_str(), 0666);
    chmod((dir_ / "lower/setuid").c_str(), 06777);
    set_capability(dir_ / "lower/setuid");
    write_file(dir_ / "outside", "outside");
    chmod((dir_ / "outside").c_str(), 06777);
    std::filesystem::create_symlink(dir_ / "outside", dir_ / "lower/link");
    std::filesystem::create_symlink("nowhere", dir_ / "lower/dangling");
    dir_.make("work");
    dir_.make("upper");
    dir_.make("mnt");
    mount_again();
  }

  void mount_again() {
    mount_.reset();
    fuse::MountOptions options;
    options.stack.lowerdirs = {dir_ / "lower"};
    options.stack.upperdir = dir_ / "upper";
    options.stack.workdir = dir_ / "work";
    options.mountpoint = dir_ / "mnt";
    mount_.emplace(options);
  }

  const TempDir dir_;
  const std::filesystem::path root_ = dir_ / "mnt";
  std::optional<LiveMount> mount_;
};

TEST_F(Attr, ChownOfASymlinkLeavesItsTargetAlone) {
  EXPECT_EQ(lchown((root_ / "link").c_str(), 1, 1), 0);
  EXPECT_EQ(attr_of(root_ / "link").st_uid, 1U);
  EXPECT_EQ(attr_of(dir_ / "outside").st_uid, 0U);
  EXPECT_EQ(mode_of(dir_ / "outside"), 06777U);
}

TEST_F(Attr, ADanglingSymlinkHasAnOwner) {
  EXPECT_EQ(lchown((root_ / "dangling").c_str(), 1, 2), 0);
  EXPECT_EQ(attr_of(root_ / "dangling").st_gid, 2U);
}

TEST_F(Attr, ChownClearsSetuidAndCapabilities) {
  EXPECT_EQ(chown((root_ / "setuid").c_str(), 1, 1), 0);
  EXPECT_EQ(mode_of(root_ / "setuid"), 0777U);
  EXPECT_FALSE(has_capability(root_ / "setuid"));
  EXPECT_TRUE(has_capability(dir_ / "lower/setuid"));
}

TEST_F(Attr, AWriteByAnotherUserClearsSetuidAndCapabilities) {
  const std::string file = root_ / "setuid";
  EXPECT_TRUE(as_user([&] {
    const sys::UniqueFd fd(open(file.c_str(), O_WRONLY));
    return fd && write(fd.get(), "x", 1) == 1;
  }));
  EXPECT_EQ(mode_of(root_ / "setuid"), 0777U);
  EXPECT_FALSE(has_capability(root_ / "setuid"));
}

TEST_F(Attr, ATruncatingOpenByAnotherUserClearsSetuidAndCapabilities) {
  const std::string file = root_ / "setuid";
  EXPECT_TRUE(as_user(
      [&] { return static_cast<bool>(sys::UniqueFd(open(file.c_str(), O_WRONLY | O_TRUNC))); }));
  EXPECT_EQ(attr_of(root_ / "setuid").st_size, 0);
  EXPECT_EQ(mode_of(root_ / "setuid"), 0777U);
  EXPECT_FALSE(has_capability(root_ / "setuid"));
}

TEST_F(Attr, TruncateByAnotherUserClearsSetuidAndCapabilities) {
  const std::string file = root_ / "setuid";
  EXPECT_TRUE(as_user([&] { return truncate(file.c_str(), 2) == 0; }));
  EXPECT_EQ(mode_of(root_ / "setuid"), 0777U);
  EXPECT_FALSE(has_capability(root_ / "setuid"));
}

TEST_F(Attr, WritesByRootKeepSetuid) {
  const sys::UniqueFd fd(open((root_ / "setuid").c_str(), O_WRONLY));
  EXPECT_EQ(write(fd.get(), "x", 1), 1);
  EXPECT_EQ(mode_of(root_ / "setuid"), 06777U);
}

TEST_F(Attr, PermissionsAreChecked) {
  chmod((root_ / "file").c_str(), 0600);
  const std::string file = root_ / "file";
  EXPECT_FALSE(
      as_user([&] { return static_cast<bool>(sys::UniqueFd(open(file.c_str(), O_RDONLY))); }));
  chmod((root_ / "file").c_str(), 0604);
  EXPECT_TRUE(
      as_user([&] { return static_cast<bool>(sys::UniqueFd(open(file.c_str(), O_RDONLY))); }));
}

TEST_F(Attr, WhatAUserMakesIsTheUsers) {
  chmod(root_.c_str(), 0777);
  const std::string file = root_ / "new";
  const std::string sub = root_ / "sub";
  EXPECT_TRUE(as_user([&] {
    umask(027);
    const sys::UniqueFd fd(open(file.c_str(), O_WRONLY | O_CREAT, 0666));
    return fd && mkdir(sub.c_str(), 0777) == 0;
  }));
  EXPECT_EQ(attr_of(root_ / "new").st_uid, kUser);
  EXPECT_EQ(attr_of(root_ / "sub").st_gid, kUser);
  EXPECT_EQ(mode_of(root_ / "new"), 0640U);
  EXPECT_EQ(mode_of(root_ / "sub"), 0750U);
  EXPECT_EQ(attr_of(dir_ / "upper/new").st_uid, kUser);
}

TEST_F(Attr, AnAclOfAFileWhoseGroupIsForeignClearsSetgid) {
  const std::string file = root_ / "setuid";
  EXPECT_EQ(chown(file.c_str(), kUser, 99), 0);
  EXPECT_EQ(chmod(file.c_str(), 02775), 0);
  // Version 2; user::rwx, group::rwx, other::r-x.
  const unsigned char acl[] = {2,    0,    0, 0, 1,    0,    7,    0,    0xff, 0xff,
                               0xff, 0xff, 4, 0, 7,    0,    0xff, 0xff, 0xff, 0xff,
                               0x20, 0,    5, 0, 0xff, 0xff, 0xff, 0xff};
  EXPECT_TRUE(as_user(
      [&] { return setxattr(file.c_str(), "system.posix_acl_access", acl, sizeof acl, 0) == 0; }));
  EXPECT_EQ(mode_of(file), 0775U);
}

TEST_F(Attr, AStoreToAMappingShowsInTheTimes) {
  const sys::UniqueFd fd(open((root_ / "mapped").c_str(), O_RDWR | O_CREAT, 0644));
  ASSERT_EQ(ftruncate(fd.get(), 4096), 0);
  auto* const map =
      static_cast<char*>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0));
  ASSERT_NE(map, MAP_FAILED);
  const auto before = set_old_times(root_ / "mapped");
  map[0] = 'x';
  EXPECT_EQ(msync(map, 4096, MS_SYNC), 0);
  EXPECT_GT(attr_of(root_ / "mapped").st_mtim.tv_sec, before.st_mtim.tv_sec);
  munmap(map, 4096);
}

TEST_F(Attr, AStoreToAMappingOfACopiedUpFileShowsInTheTimes) {
  const sys::UniqueFd fd(open((root_ / "setuid").c_str(), O_RDWR));
  auto* const map =
      static_cast<char*>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0));
  ASSERT_NE(map, MAP_FAILED);
  const auto before = set_old_times(root_ / "setuid");
  map[0] = 'x';
  EXPECT_EQ(munmap(map, 4096), 0);
  EXPECT_GT(attr_of(root_ / "setuid").st_mtim.tv_sec, before.st_mtim.tv_sec);
}

TEST_F(Attr, AFileThatIsOpenedAgainForMappingShowsItsTimes) {
  write_file(root_ / "again", std::string(4096, 'a'));
  const auto before = set_old_times(root_ / "again");
  const sys::UniqueFd fd(open((root_ / "again").c_str(), O_RDWR));
  auto* const map =
      static_cast<char*>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0));
  ASSERT_NE(map, MAP_FAILED);
  map[0] = 'x';
  EXPECT_EQ(munmap(map, 4096), 0);
  EXPECT_GT(attr_of(root_ / "again").st_mtim.tv_sec, before.st_mtim.tv_sec);
}

TEST_F(Attr, ChattrShowsInTheChangeTime) {
  const sys::UniqueFd fd(open((root_ / "marked").c_str(), O_RDWR | O_CREAT, 0644));
  const auto before = attr_of(root_ / "marked");
  set_marks(fd.get(), FS_NODUMP_FL);
  const auto after = attr_of(root_ / "marked");
  EXPECT_NE(std::pair(after.st_ctim.tv_sec, after.st_ctim.tv_nsec),
            std::pair(before.st_ctim.tv_sec, before.st_ctim.tv_nsec));
}

TEST_F(Attr, AnAppendOnlyFileIsOpenedForAppendingOnly) {
  const std::string file = root_ / "appended";
  write_file(file, "a");
  const sys::UniqueFd marker(open(file.c_str(), O_RDONLY));
  set_marks(marker.get(), FS_APPEND_FL);
  for (const int flags : {O_WRONLY, O_RDWR, O_RDWR | O_TRUNC, O_WRONLY | O_APPEND | O_TRUNC}) {
    EXPECT_FALSE(static_cast<bool>(sys::UniqueFd(open(file.c_str(), flags)))) << flags;
    EXPECT_EQ(errno, EPERM) << flags;
  }
  const sys::UniqueFd end(open(file.c_str(), O_RDWR | O_APPEND));
  ASSERT_TRUE(end);
  EXPECT_EQ(write(end.get(), "b", 1), 1);
  EXPECT_EQ(read_file(file), "ab");
  set_marks(marker.get(), 0);
}

TEST_F(Attr, AnImmutableFileIsNotOpenedForWriting) {
  const std::string file = root_ / "fixed";
  write_file(file, "a");
  const sys::UniqueFd marker(open(file.c_str(), O_RDWR));
  set_marks(marker.get(), FS_IMMUTABLE_FL);
  EXPECT_FALSE(static_cast<bool>(sys::UniqueFd(open(file.c_str(), O_WRONLY))));
  EXPECT_EQ(errno, EPERM);
  EXPECT_EQ(chmod(file.c_str(), 0600), -1);
  EXPECT_EQ(errno, EPERM);
  set_marks(marker.get(), 0);
}

TEST_F(Attr, AFullDirectoryInAnImmutableOneMayNotBeRemoved) {
  std::filesystem::create_directories(root_ / "fixed/full/inner");
  const sys::UniqueFd marker(open((root_ / "fixed").c_str(), O_RDONLY));
  set_marks(marker.get(), FS_IMMUTABLE_FL);
  EXPECT_EQ(rmdir((root_ / "fixed/full").c_str()), -1);
  EXPECT_EQ(errno, EPERM);
  set_marks(marker.get(), 0);
}

// Whether every change of the file that an append-only one does not allow is EPERM.
void expect_protected(const std::filesystem::path& file) {
  const std::string path = file, other = path + "2";
  const timespec times[2] = {{.tv_sec = 1, .tv_nsec = 0}, {.tv_sec = 1, .tv_nsec = 0}};
  const auto denied = [&](const char* what, int status) {
    EXPECT_EQ(status, -1) << what;
    EXPECT_EQ(errno, EPERM) << what;
  };
  denied("open", open(path.c_str(), O_WRONLY));
  denied("truncate", truncate(path.c_str(), 0));
  denied("chmod", chmod(path.c_str(), 0600));
  denied("chown", chown(path.c_str(), 1, 1));
  denied("utimens", utimensat(AT_FDCWD, path.c_str(), times, 0));
  denied("setxattr", setxattr(path.c_str(), "user.a", "b", 1, 0));
  denied("removexattr", removexattr(path.c_str(), "user.a"));
  denied("link", link(path.c_str(), other.c_str()));
  denied("rename", rename(path.c_str(), other.c_str()));
  denied("unlink", unlink(path.c_str()));
}

int marks_of(const std::filesystem::path& path) {
  const sys::UniqueFd fd(open(path.c_str(), O_RDONLY));
  int marks = 0;
  EXPECT_EQ(ioctl(fd.get(), FS_IOC_GETFLAGS, &marks), 0) << path;
  return marks & (FS_APPEND_FL | FS_IMMUTABLE_FL);
}

std::string protattr_of(const std::filesystem::path& path) {
  char value[16];
  const ssize_t size = getxattr(path.c_str(), "trusted.overlay.protattr", value, sizeof value);
  return size < 0 ? std::string() : std::string(value, static_cast<std::size_t>(size));
}

TEST_F(Attr, AnAppendOnlyLowerFileIsStillOneAfterACopyUp) {
  const sys::UniqueFd lower(open((dir_ / "lower/file").c_str(), O_RDONLY));
  set_marks(lower.get(), FS_APPEND_FL);
  const std::string file = root_ / "file";
  expect_protected(file);
  EXPECT_FALSE(std::filesystem::exists(dir_ / "upper/file"));
  const sys::UniqueFd end(open(file.c_str(), O_WRONLY | O_APPEND));
  ASSERT_TRUE(end) << errno;
  EXPECT_EQ(write(end.get(), "+", 1), 1);
  EXPECT_EQ(read_file(file), "lower+");
  EXPECT_EQ(protattr_of(dir_ / "upper/file"), "a");
  EXPECT_EQ(marks_of(root_ / "file"), FS_APPEND_FL);
  EXPECT_EQ(marks_of(dir_ / "upper/file"), 0);
  expect_protected(file);
  EXPECT_EQ(utimensat(AT_FDCWD, file.c_str(), nullptr, 0), 0);
  set_marks(end.get(), 0);
  EXPECT_EQ(protattr_of(dir_ / "upper/file"), "");
  EXPECT_EQ(unlink(file.c_str()), 0);
  set_marks(lower.get(), 0);
}

TEST_F(Attr, MarksAreKeptAsideAndCountAfterARemount) {
  const std::string file = root_ / "new";
  write_file(file, "a");
  set_marks(sys::UniqueFd(open(file.c_str(), O_RDONLY)).get(), FS_IMMUTABLE_FL | FS_NODUMP_FL);
  EXPECT_EQ(protattr_of(dir_ / "upper/new"), "i");
  mount_again();
  EXPECT_EQ(marks_of(file), FS_IMMUTABLE_FL);
  expect_protected(file);
  EXPECT_EQ(utimensat(AT_FDCWD, file.c_str(), nullptr, 0), -1);
  EXPECT_EQ(open(file.c_str(), O_WRONLY | O_APPEND), -1);
  set_marks(sys::UniqueFd(open(file.c_str(), O_RDONLY)).get(), 0);
  EXPECT_EQ(unlink(file.c_str()), 0);
}

TEST_F(Attr, AnImmutableLowerDirectoryKeepsItsNames) {
  std::filesystem::create_directories(dir_ / "lower/fixed/sub");
  write_file(dir_ / "lower/fixed/file", "lower");
  const sys::UniqueFd lower(open((dir_ / "lower/fixed").c_str(), O_RDONLY));
  set_marks(lower.get(), FS_IMMUTABLE_FL);
  for (const bool again : {false, true}) {
    if (again) mount_again();
    EXPECT_EQ(open((root_ / "fixed/new").c_str(), O_WRONLY | O_CREAT, 0600), -1);
    EXPECT_EQ(errno, EPERM);
    EXPECT_EQ(mkdir((root_ / "fixed/new").c_str(), 0700), -1);
    EXPECT_EQ(errno, EPERM);
    EXPECT_EQ(unlink((root_ / "fixed/file").c_str()), -1);
    EXPECT_EQ(errno, EPERM);
    EXPECT_EQ(rmdir((root_ / "fixed/sub").c_str()), -1);
    EXPECT_EQ(errno, EPERM);
    EXPECT_EQ(rename((root_ / "setuid").c_str(), (root_ / "fixed/setuid").c_str()), -1);
    EXPECT_EQ(errno, EPERM);
    EXPECT_EQ(chmod((root_ / "fixed").c_str(), 0700), -1);
    EXPECT_EQ(errno, EPERM);
    // What is in it may change.
    write_file(root_ / "fixed/file", "upper");
    EXPECT_EQ(protattr_of(dir_ / "upper/fixed"), "i");
    EXPECT_EQ(marks_of(root_ / "fixed"), FS_IMMUTABLE_FL);
  }
  set_marks(sys::UniqueFd(open((root_ / "fixed").c_str(), O_RDONLY)).get(), 0);
  EXPECT_EQ(unlink((root_ / "fixed/file").c_str()), 0);
  set_marks(lower.get(), 0);
}

TEST_F(Attr, TimesAreKeptToTheNanosecond) {
  const timespec times[2] = {{.tv_sec = 11, .tv_nsec = 123456789}, {.tv_sec = -5, .tv_nsec = 1}};
  EXPECT_EQ(utimensat(AT_FDCWD, (root_ / "file").c_str(), times, 0), 0);
  EXPECT_EQ(attr_of(root_ / "file").st_atim.tv_nsec, 123456789);
  EXPECT_EQ(attr_of(root_ / "file").st_mtim.tv_sec, -5);
}

}  // namespace
}  // namespace layerfs::test
