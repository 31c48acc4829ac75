// The same lower layer under the kernel's overlayfs and under layerfs, which the test's own process
// serves: what both do with it is compared.
#pragma once

#include <sys/mount.h>

#include <filesystem>
#include <optional>
#include <string>

#include <gtest/gtest.h>

#include "tests/mount/live_mount.h"
#include "tests/support/command.h"
#include "tests/support/loop_fs.h"
#include "tests/support/temp_dir.h"

namespace layerfs::test {

class BesideKernel : public testing::Test {
 protected:
  // One of the two unions, mounted at `root`; its layers are below `dir`.
  struct Side {
    std::filesystem::path dir;
    std::filesystem::path root = dir / "mnt";
    std::filesystem::path upper = dir / "upper";
    std::filesystem::path work = dir / "work";
  };

  // Uppers are on a new file system of this type.
  explicit BesideKernel(const std::string& upper_type = "ext4")
      : scratch_(mount_new_fs(dir_, upper_type)) {
    for (const Side* side : {&kernel_, &ours_})
      for (const auto& path : {side->root, side->upper, side->work})
        std::filesystem::create_directories(path);
  }

  // Mounts both, over the same lower.
  void mount_over(const std::filesystem::path& lower) {
    lower_ = lower;
    ASSERT_NO_FATAL_FAILURE(mount_kernel(kernel_));
    mount_ours();
  }

  void mount_ours() {
    fuse::MountOptions options;
    options.stack.lowerdirs = {lower_};
    options.stack.upperdir = ours_.upper;
    options.stack.workdir = ours_.work;
    options.stack.redirect_dir = redirect_dir_;
    options.mountpoint = ours_.root;
    mount_.emplace(options);
  }

  // The kernel's union of one side's layers.
  void mount_kernel(const Side& side) {
    const std::string data = std::string("index=off,metacopy=off,xino=off,redirect_dir=") +
                             (redirect_dir_ ? "on" : "nofollow") + ",lowerdir=" + lower_.string() +
                             ",upperdir=" + side.upper.string() + ",workdir=" + side.work.string();
    ASSERT_EQ(::mount("overlay", side.root.c_str(), "overlay", 0, data.c_str()), 0) << data;
  }

  // Ends layerfs's mount and has the kernel show its layers.
  void give_ours_to_kernel() {
    mount_.reset();
    mount_kernel(ours_);
  }

  // What the script, run in the root of a side, says on both outputs. In English.
  static std::string told(const Side& side, const std::string& script) {
    return shell("exec 2>&1; set +e; " + script,
                 {.directory = side.root, .environment = {"LC_ALL=C"}})
        .out;
  }

  // Runs the script on both sides, and expects that they tell the same.
  void expect_alike(const std::string& script) {
    EXPECT_EQ(told(ours_, script), told(kernel_, script)) << script;
  }

  const TempDir dir_;
  const std::filesystem::path scratch_;
  const Side kernel_{scratch_ / "kernel"};
  const Side ours_{scratch_ / "ours"};
  bool redirect_dir_ = true;
  std::filesystem::path lower_;
  std::optional<LiveMount> mount_;
};

}  // namespace layerfs::test
