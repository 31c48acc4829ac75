// How mounts end, and what stays free or busy meanwhile.
#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/support/command.h"
#include "tests/support/temp_dir.h"

namespace layerfs::test {
namespace {

// A mount by the program whose upper is on a file system of its own.
class Ending : public testing::Test {
 protected:
  Ending() {
    write_file(dir_ / "lower/dir/file", "text");
    std::filesystem::create_symlink(layerfs_program(), dir_ / "umount.fuse.layerfs");
    for (const char* name : {"fs", "mnt", "part"}) dir_.make(name);
  }
  void SetUp() override {
    must("mount -t tmpfs none fs && mkdir fs/upper fs/work");
    mount();
  }
  void mount() {
    must(layerfs_program() + " mount -o lowerdir=lower,upperdir=fs/upper,workdir=fs/work mnt");
    for (const auto& mount : nlohmann::json::parse(must(layerfs_program() + " ps --json"))) {
      if (mount.at("mountpoint") == mnt_) daemon_ = mount.at("pid");
    }
    ASSERT_GT(daemon_, 0);
  }
  std::string must(const std::string& script) const {
    const Ran ran = shell(script, {.directory = dir_.path()});
    EXPECT_TRUE(ran.ok()) << script << ": " << ran.err;
    return ran.out;
  }
  // As umount(8) calls /sbin/umount.fuse.layerfs.
  Ran helper(const std::string& point, const std::string& flag = "-n") const {
    return run({dir_ / "umount.fuse.layerfs", point, flag, "-t", "fuse.layerfs"},
               {.timeout_seconds = 60});
  }
  bool runs() const {
    return shell(fmt::format("grep -q '^State:.[^ZX]' /proc/{}/status", daemon_)).ok();
  }
  bool is_mounted(const std::string& point) const {
    return shell("grep -q ' " + point + " ' /proc/self/mountinfo").ok();
  }

  const TempDir dir_;
  const std::string mnt_ = dir_ / "mnt";
  pid_t daemon_ = 0;
};

TEST_F(Ending, TheUmountHelperReturnsWhenTheDaemonHasEnded) {
  const Ran ran = helper(mnt_);
  EXPECT_TRUE(ran.ok()) << ran.err;
  EXPECT_FALSE(is_mounted(mnt_));
  EXPECT_FALSE(runs());
}

TEST_F(Ending, TheUmountHelperSaysThatItIsInUse) {
  const std::ofstream user(mnt_ + "/held");
  const Ran ran = helper(mnt_);
  EXPECT_EQ(ran.status, 1);
  EXPECT_NE(ran.err.find("is in use"), std::string::npos) << ran.err;
  EXPECT_TRUE(is_mounted(mnt_));
  EXPECT_TRUE(helper(mnt_, "-l").ok());
  EXPECT_FALSE(is_mounted(mnt_));
}

TEST_F(Ending, TheUmountHelperUnmountsAPartThatIsBoundElsewhere) {
  const std::string part = dir_ / "part";
  must("mount --bind mnt/dir part");
  EXPECT_TRUE(helper(part).ok());
  EXPECT_FALSE(is_mounted(part));
  EXPECT_TRUE(is_mounted(mnt_));
  EXPECT_EQ(read_file(mnt_ + "/dir/file"), "text");
}

TEST_F(Ending, OneOfTwoPlacesIsUnmountedWithoutWaiting) {
  must("mount --bind mnt part");
  EXPECT_TRUE(helper(mnt_).ok());
  EXPECT_FALSE(is_mounted(mnt_));
  EXPECT_TRUE(runs());
  EXPECT_EQ(read_file(dir_ / "part/dir/file"), "text");
}

TEST_F(Ending, ForceUnmountsWhatADaemonThatIsStuckServes) {
  ASSERT_EQ(::kill(daemon_, SIGSTOP), 0);
  // It can end only when it goes on.
  must(fmt::format("(sleep 1; kill -CONT {}) & ./umount.fuse.layerfs {} -f", daemon_, mnt_));
  EXPECT_FALSE(is_mounted(mnt_));
  EXPECT_FALSE(runs());
}

// Kernel overlayfs holds the file systems of its layers and not their mounts.
TEST_F(Ending, TheFileSystemOfTheUpperCanBeUnmountedMeanwhile) {
  write_file(mnt_ + "/new", "before");
  must("umount fs");
  EXPECT_EQ(read_file(mnt_ + "/new"), "before");
  write_file(mnt_ + "/dir/file", "changed");
  must("mv mnt/dir mnt/other && rm mnt/new && ln mnt/other/file mnt/link");
  EXPECT_EQ(read_file(mnt_ + "/link"), "changed");
}

TEST_F(Ending, WhatIsMountedInTheUpperLaterDoesNotShow) {
  must("mkdir fs/upper/seen && mount -t tmpfs none fs/upper/seen && touch fs/upper/seen/hidden");
  EXPECT_EQ(must("ls mnt/seen"), "");
  must("umount fs/upper/seen");
}

// The image of the upper's file system is a file of another, which can be frozen: what is synced
// then waits for the thaw.
class SlowEnding : public Ending {
 protected:
  void SetUp() override {
    dir_.make("below");
    must("truncate -s 200M below.img && mkfs.ext4 -q below.img && mount -o loop below.img below");
    must("truncate -s 100M below/fs.img && mkfs.ext4 -q below/fs.img");
    must("mount -o loop below/fs.img fs && mkdir fs/upper fs/work");
    mount();
  }
  // Else nothing that uses the file systems would ever end.
  ~SlowEnding() override { shell("fsfreeze -u below", {.directory = dir_.path()}); }
};

TEST_F(SlowEnding, AMountThatFollowsWaitsForTheLastSync) {
  must("head -c 20000000 /dev/urandom > mnt/data");
  // Should this test be ended meanwhile, nobody else's sync(2) waits for ever.
  must("(sleep 60; fsfreeze -u below) > /dev/null 2>&1 < /dev/null &");
  must("fsfreeze -f below && umount -i mnt");
  must(fmt::format(
      "({} mount -o lowerdir=lower,upperdir=fs/upper,workdir=fs/work mnt 2> said"
      " && echo mounted > status || echo refused > status) > /dev/null 2>&1 < /dev/null &",
      layerfs_program()));
  must("sleep 6");
  EXPECT_FALSE(std::filesystem::exists(dir_ / "status")) << read_file(dir_ / "said");
  EXPECT_TRUE(runs());
  must("fsfreeze -u below");
  must("for i in $(seq 300); do test -s status && break; sleep 0.1; done");
  ASSERT_EQ(read_file(dir_ / "status"), "mounted\n") << read_file(dir_ / "said");
  EXPECT_NE(read_file(dir_ / "said").find("waiting for its daemon"), std::string::npos);
  must("cmp mnt/data fs/upper/data && umount -i mnt");
}

}  // namespace
}  // namespace layerfs::test
