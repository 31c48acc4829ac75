// The same load over each way in which requests come, with and without passthrough.
#include "fs/fuse/transport.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <future>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fs/sys/unique_fd.h"
#include "tests/mount/live_mount.h"
#include "tests/support/command.h"
#include "tests/support/loop_fs.h"
#include "tests/support/temp_dir.h"

namespace layerfs::test {
namespace {

// Switches FUSE over io_uring on or off for the machine, and back to what it was.
class IoUringSwitch {
 public:
  explicit IoUringSwitch(const std::string& to) : before_(value()) { set(to); }
  ~IoUringSwitch() { set(before_); }
  IoUringSwitch(const IoUringSwitch&) = delete;
  IoUringSwitch& operator=(const IoUringSwitch&) = delete;

  static bool is_on() { return value() == "Y"; }

 private:
  static constexpr const char* kParameter = "/sys/module/fuse/parameters/enable_uring";
  static std::string value() {
    std::string text;
    std::ifstream(kParameter) >> text;
    return text;
  }
  static void set(const std::string& text) { std::ofstream(kParameter) << text; }

  const std::string before_;
};

using Way = std::tuple<fuse::Transport, op::PassthroughPolicy>;

class TransportTest : public testing::TestWithParam<Way> {
 protected:
  void SetUp() override {
    if (transport() == fuse::Transport::kIoUring) {
      switched_on_.emplace("Y");
      if (!IoUringSwitch::is_on()) GTEST_SKIP() << "this kernel has no FUSE over io_uring";
    }
    for (int i = 0; i < 60; ++i) {
      write_file(dir_ / fmt::format("lower/tree/d{}/f{}", i % 6, i), std::string(100 * i, 'x'));
    }
    write_file(dir_ / "lower/large", std::string(5 << 20, 'l'));
    dir_.make("upper");
    dir_.make("work");
    fuse::MountOptions options;
    options.stack.lowerdirs = {dir_ / "lower"};
    options.stack.upperdir = dir_ / "upper";
    options.stack.workdir = dir_ / "work";
    options.stack.passthrough = std::get<1>(GetParam());
    options.transport = transport();
    options.mountpoint = dir_.make("mnt");
    mount_.emplace(options);
  }
  static fuse::Transport transport() { return std::get<0>(GetParam()); }

  const TempDir dir_;
  const std::filesystem::path root_ = dir_ / "mnt";
  std::optional<IoUringSwitch> switched_on_;
  std::optional<LiveMount> mount_;
};

TEST_P(TransportTest, TheDescriptionNamesIt) {
  const bool io_uring = mount_->session().description().starts_with("io_uring");
  EXPECT_EQ(io_uring, transport() == fuse::Transport::kIoUring);
}

TEST_P(TransportTest, LargeFilesArriveWhole) {
  EXPECT_EQ(read_file(root_ / "large"), std::string(5 << 20, 'l'));
  const std::string data(3'000'001, 'w');
  write_file(root_ / "written", data);
  EXPECT_EQ(read_file(root_ / "written"), data);
  EXPECT_EQ(read_file(dir_ / "upper/written"), data);
}

TEST_P(TransportTest, FourProcessesAtOnceDisturbNobody) {
  // Each works in a copy of its own, through copy-ups, hard links, renames and removals.
  const std::string script = R"(
    work() {
      mkdir s$1; cp -a tree s$1/
      for round in 1 2 3; do
        for f in s$1/tree/*/*; do echo $round >> $f; done
        mv s$1/tree s$1/old; cp -al s$1/old s$1/tree; rm -rf s$1/old; chmod -R g-w s$1/tree
      done
      dd if=/dev/zero of=s$1/big bs=1M count=8 2>/dev/null; cp s$1/big s$1/copy
      cmp s$1/big s$1/copy
      for f in tree/*/*; do
        printf '1\n2\n3\n' | cat $f - | cmp - s$1/$f
      done
      rm -rf s$1
    }
    for k in 1 2 3 4; do (set -e; work $k) & pids="$pids $!"; done
    for p in $pids; do wait $p; done
    find tree -type f | wc -l)";
  const Ran ran = shell(script, {.directory = root_, .timeout_seconds = 100});
  EXPECT_EQ(ran.status, 0);
  EXPECT_EQ(ran.err, "");
  EXPECT_EQ(ran.out, "60\n");
  EXPECT_TRUE(std::filesystem::is_empty(dir_ / "upper"));
}

TEST_P(TransportTest, ItEndsWhenUnmountedByOthers) {
  EXPECT_EQ(read_file(root_ / "tree/d1/f1"), std::string(100, 'x'));
  EXPECT_EQ(run({"umount", root_}).status, 0);
  mount_.reset();  // joins the thread that serves
}

INSTANTIATE_TEST_SUITE_P(
    Ways, TransportTest,
    testing::Combine(testing::Values(fuse::Transport::kDevFuse, fuse::Transport::kIoUring),
                     testing::Values(op::PassthroughPolicy::kAuto, op::PassthroughPolicy::kNone)),
    [](const auto& test) {
      const bool io_uring = std::get<0>(test.param) == fuse::Transport::kIoUring;
      const bool cached = std::get<1>(test.param) == op::PassthroughPolicy::kNone;
      return fmt::format("{}{}", io_uring ? "IoUring" : "DevFuse", cached ? "Cached" : "");
    });

fuse::MountOptions options_in(const TempDir& dir) {
  fuse::MountOptions options;
  options.stack.lowerdirs = {dir.make("lower")};
  options.stack.upperdir = dir.make("upper");
  options.stack.workdir = dir.make("work");
  options.mountpoint = dir.make("mnt");
  return options;
}

TEST(TransportChoice, IoUringWhereItIsSwitchedOn) {
  const IoUringSwitch on("Y");
  if (!IoUringSwitch::is_on()) GTEST_SKIP() << "this kernel has no FUSE over io_uring";
  const TempDir dir;
  const bool expected = fuse::any_thread_answers();
  LiveMount mount(options_in(dir));
  EXPECT_EQ(mount.session().description().starts_with("io_uring"), expected);
}

TEST(TransportChoice, DevFuseWhereIoUringIsOff) {
  const IoUringSwitch off("N");
  const TempDir dir;
  LiveMount mount(options_in(dir));
  EXPECT_THAT(mount.session().description(), testing::StartsWith("/dev/fuse, "));
}

TEST(TransportChoice, ANumberOfThreadsIsForDevFuse) {
  const IoUringSwitch on("Y");
  const TempDir dir;
  fuse::MountOptions options = options_in(dir);
  options.threads = 3;
  LiveMount mount(options);
  EXPECT_THAT(mount.session().description(), testing::StartsWith("/dev/fuse, 3 threads"));
}

// Writes to a file system wait while it is frozen.
class Frozen {
 public:
  explicit Frozen(const std::filesystem::path& mountpoint)
      : root_(open(mountpoint.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
    if (ioctl(root_.get(), FIFREEZE, 0) != 0) throw std::runtime_error("FIFREEZE failed");
  }
  ~Frozen() { thaw(); }
  Frozen(const Frozen&) = delete;
  Frozen& operator=(const Frozen&) = delete;
  void thaw() { ioctl(root_.get(), FITHAW, 0); }

 private:
  const sys::UniqueFd root_;
};

void stay_on_processor_0() {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(0, &set);
  sched_setaffinity(0, sizeof set, &set);
}

// What one processor sends through io_uring is served by one thread.
void expect_that_a_slow_copy_up_holds_nobody_up(fuse::Transport transport, unsigned threads) {
  const TempDir dir;
  const std::filesystem::path disk = mount_new_fs(dir, "ext4", 64 << 20);
  write_file(dir / "lower/large", std::string(1 << 20, 'l'));
  write_file(dir / "lower/other", "other");
  fuse::MountOptions options;
  options.stack.lowerdirs = {dir / "lower"};
  options.stack.upperdir = disk / "upper";
  options.stack.workdir = disk / "work";
  std::filesystem::create_directory(options.stack.upperdir);
  std::filesystem::create_directory(options.stack.workdir);
  options.mountpoint = dir.make("mnt");
  options.transport = transport;
  options.threads = threads;
  LiveMount mount(options);
  Frozen frozen(disk);
  std::thread writer([&] {
    stay_on_processor_0();
    const sys::UniqueFd fd(open((dir / "mnt/large").c_str(), O_WRONLY | O_CLOEXEC));
    EXPECT_TRUE(fd);
  });
  while (mount.session().request_counts().count("OPEN") == 0) std::this_thread::yield();
  auto looked = std::async(std::launch::async, [&] {
    stay_on_processor_0();
    struct stat attr = {};
    return lstat((dir / "mnt/other").c_str(), &attr);
  });
  EXPECT_EQ(looked.wait_for(std::chrono::seconds(20)), std::future_status::ready);
  frozen.thaw();
  writer.join();
  EXPECT_EQ(looked.get(), 0);
}

TEST(TransportChoice, ASlowCopyUpHoldsNobodyUpOverIoUring) {
  const IoUringSwitch on("Y");
  if (!IoUringSwitch::is_on()) GTEST_SKIP() << "this kernel has no FUSE over io_uring";
  if (!fuse::any_thread_answers()) GTEST_SKIP() << "this libfuse answers from one thread only";
  expect_that_a_slow_copy_up_holds_nobody_up(fuse::Transport::kIoUring, 0);
}

TEST(TransportChoice, ASlowCopyUpHoldsNobodyUpOverDevFuseWithOneThread) {
  expect_that_a_slow_copy_up_holds_nobody_up(fuse::Transport::kDevFuse, 1);
}

}  // namespace
}  // namespace layerfs::test
