// A writable union of directories that a test fills, mounted by the test's own process.
#pragma once

#include <sys/stat.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/mount/live_mount.h"
#include "tests/support/command.h"
#include "tests/support/temp_dir.h"

namespace layerfs::test {

class Union : public testing::Test {
 protected:
  // Runs the script in the directory that holds the layers "lower" and "below", then mounts both.
  void mount(const std::string& script) {
    for (const char* name : {"lower", "below", "upper", "work", "mnt"}) dir_.make(name);
    layers_ = {dir_ / "lower", dir_ / "below"};
    ASSERT_TRUE(shell(script, {.directory = dir_.path()}).ok());
    mount_again();
  }

  // Unmounts, if it is mounted, and mounts the same once more.
  void mount_again() {
    mount_.reset();
    fuse::MountOptions options;
    options.stack = stack_;
    options.stack.lowerdirs.assign(layers_.begin(), layers_.end());
    options.stack.upperdir = dir_ / "upper";
    options.stack.workdir = dir_ / "work";
    options.writeback = writeback_;
    options.mountpoint = root_ = dir_ / "mnt";
    mount_.emplace(options);
  }

  // Runs a script in `where` below the test's directory.
  Ran in(const std::string& where, const std::string& script) const {
    return shell(script, {.directory = dir_ / where});
  }
  // The output of a script that has to succeed.
  std::string out(const std::string& where, const std::string& script) const {
    const Ran ran = in(where, script);
    EXPECT_TRUE(ran.ok()) << script << ": " << ran.err;
    return ran.out;
  }

  static struct stat attr_of(const std::filesystem::path& path) {
    struct stat attr = {};
    EXPECT_EQ(::lstat(path.c_str(), &attr), 0) << path;
    return attr;
  }

  const TempDir dir_;
  op::StackOptions stack_;  // but for the directories
  bool writeback_ = false;
  std::vector<std::filesystem::path> layers_;  // topmost first
  std::filesystem::path root_;                 // the mount point
  std::optional<LiveMount> mount_;
};

}  // namespace layerfs::test
