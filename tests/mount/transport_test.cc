// The same load over each way in which requests come, with and without passthrough.
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <tuple>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/mount/live_mount.h"
#include "tests/support/command.h"
#include "tests/support/temp_dir.h"

namespace layerfs::test {
namespace {

// Switches FUSE over io_uring on for the machine, and back to what it was.
class IoUringOn {
 public:
  IoUringOn() : before_(value()) { set("Y"); }
  ~IoUringOn() { set(before_); }
  IoUringOn(const IoUringOn&) = delete;
  IoUringOn& operator=(const IoUringOn&) = delete;

  bool works() const { return value() == "Y"; }

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
      switched_on_.emplace();
      if (!switched_on_->works()) GTEST_SKIP() << "this kernel has no FUSE over io_uring";
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
  std::optional<IoUringOn> switched_on_;
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

}  // namespace
}  // namespace layerfs::test
