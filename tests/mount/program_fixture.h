// The program, with directories to mount and a mount point.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/command.h"
#include "tests/support/temp_dir.h"

namespace layerfs::test {

class ProgramFixture : public testing::Test {
 protected:
  ProgramFixture() {
    write_file(dir_ / "a/file", "from a");
    write_file(dir_ / "b/file", "from b");
    write_file(dir_ / "b/other", "from b");
    for (const std::string name : {"upper", "work", "mnt"}) dir_.make(name);
  }

  Ran layerfs(std::vector<std::string> args, const RunOptions& options = {}) const {
    args.insert(args.begin(), layerfs_program());
    return run(args, options);
  }
  std::string path_of(const std::string& name) const { return dir_ / name; }
  std::string lower() const { return fmt::format("lowerdir={0}/a:{0}/b", dir_.path().string()); }
  std::string writable() const {
    return fmt::format("{0},upperdir={1}/upper,workdir={1}/work", lower(), dir_.path().string());
  }
  // Mounts, and expects that it works.
  void mount(const std::string& options) const {
    const Ran ran = layerfs({"mount", "-o", options, mnt_});
    ASSERT_EQ(ran.status, 0) << ran.err;
  }
  void expect_refused(const Ran& ran, const std::string& part) const {
    EXPECT_EQ(ran.status, 1);
    EXPECT_THAT(ran.err, testing::HasSubstr(part));
    EXPECT_THAT(ran.err, testing::StartsWith("layerfs: "));
    EXPECT_FALSE(is_mounted());
  }

  void must_mount_tmpfs() const {
    ASSERT_EQ(run({"mount", "-t", "tmpfs", "none", dir_ / "other"}).status, 0);
  }

  bool is_mounted() const {
    std::ifstream table("/proc/self/mountinfo");
    for (std::string line; std::getline(table, line);) {
      if (line.find(" " + mnt_ + " ") != std::string::npos) return true;
    }
    return false;
  }
  static bool runs(pid_t pid) {
    std::ifstream stat(fmt::format("/proc/{}/stat", pid));
    std::string id, name, state;
    return static_cast<bool>(stat >> id >> name >> state) && state != "Z" && state != "X";
  }
  static bool ends_soon(pid_t pid) {
    for (int i = 0; i < 500 && runs(pid); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return !runs(pid);
  }

  const TempDir dir_;
  const std::string mnt_ = dir_ / "mnt";
};

}  // namespace layerfs::test
