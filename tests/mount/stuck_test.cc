// What somebody does to a layer, or a layer that does not answer, holds up nobody else.
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <future>
#include <optional>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fs/fuse/transport.h"
#include "tests/mount/live_mount.h"
#include "tests/support/command.h"
#include "tests/support/temp_dir.h"

namespace layerfs::test {
namespace {

namespace stdfs = std::filesystem;
using std::chrono::seconds;
using ::testing::HasSubstr;

// Runs a script that must not take long; a command of it that hangs is killed.
Ran soon(const std::string& script, const stdfs::path& directory) {
  return run({"timeout", "-s", "KILL", "20", "sh", "-c", script}, {.directory = directory});
}

// Root mounts over layers that uid 1000 owns and changes.
class ChangedLayers : public testing::TestWithParam<unsigned> {
 protected:
  void SetUp() override {
    stdfs::permissions(dir_.path(), stdfs::perms(0755));
    for (const char* name : {"lower", "below", "upper", "work", "mnt"}) dir_.make(name);
    write_file(dir_ / "lower/f1", "one");
    write_file(dir_ / "lower/f2", "two");
    write_file(dir_ / "secret", "secret");
    stdfs::permissions(dir_ / "secret", stdfs::perms(0600));
    ASSERT_TRUE(shell("chown -R 1000:1000 lower upper", {.directory = dir_.path()}).ok());
  }
  void mount(bool metacopy = false) {
    fuse::MountOptions options;
    options.stack.lowerdirs = {dir_ / "lower", dir_ / "below"};
    options.stack.upperdir = dir_ / "upper";
    options.stack.workdir = dir_ / "work";
    options.stack.metacopy = metacopy;
    options.transport = fuse::Transport::kDevFuse;
    options.threads = GetParam();
    options.mountpoint = dir_ / "mnt";
    mount_.emplace(options);
  }
  Ran alice(const std::string& script) const {
    return run(
        {"setpriv", "--reuid", "1000", "--regid", "1000", "--clear-groups", "sh", "-ec", script},
        {.directory = dir_.path()});
  }
  void expect_others_to_work() {
    EXPECT_EQ(soon("cat f2 && mkdir d && echo x > d/new && ls", dir_ / "mnt").out,
              "twod\nf1\nf2\n");
  }

  const TempDir dir_;
  std::optional<LiveMount> mount_;
};

TEST_P(ChangedLayers, AFifoInPlaceOfALowerFileIsAnErrorAtOnce) {
  mount();
  ASSERT_EQ(soon("ls -l", dir_ / "mnt").status, 0);
  ASSERT_TRUE(alice("rm lower/f1; mkfifo lower/f1").ok());
  for (const char* command : {"cat f1", "dd if=/dev/null of=f1 conv=notrunc", "cp f1 f3"}) {
    const Ran ran = soon(command, dir_ / "mnt");
    EXPECT_THAT(ran.status, testing::AllOf(testing::Ne(0), testing::Ne(137))) << command;
  }
  expect_others_to_work();
}

TEST_P(ChangedLayers, AFifoInPlaceOfAnUpperFileIsAnErrorAtOnce) {
  mount(true);
  ASSERT_EQ(soon("chmod 640 f1; cat f1", dir_ / "mnt").status, 0);  // its data is still the lower's
  ASSERT_TRUE(alice("rm upper/f1; mkfifo upper/f1").ok());
  for (const char* command : {"echo x >> f1", "cat f1"}) {
    const Ran ran = soon(command, dir_ / "mnt");
    EXPECT_NE(ran.status, 137) << command;
  }
  expect_others_to_work();
}

TEST_P(ChangedLayers, ASymlinkInPlaceOfAnUpperFileIsNotFollowed) {
  mount();
  ASSERT_EQ(soon("echo mine > f1; chown 1000 f1", dir_ / "mnt").status, 0);
  ASSERT_TRUE(alice("rm upper/f1; ln -s " + (dir_ / "secret").string() + " upper/f1").ok());
  ASSERT_TRUE(alice("cd mnt; chmod 666 f1 || :; truncate -s 0 f1 || :; (: > f1) || :").ok());
  EXPECT_EQ(read_file(dir_ / "secret"), "secret");
  EXPECT_EQ(stdfs::status(dir_ / "secret").permissions(), stdfs::perms(0600));
  expect_others_to_work();
}

TEST_P(ChangedLayers, AFileThatSomebodyHoldsALeaseOnIsWaitedForAMoment) {
  mount();
  const std::string holder =
      "import fcntl,os,signal,time; signal.signal(signal.SIGIO, signal.SIG_IGN); "
      "f=os.open('lower/f1',os.O_RDWR); fcntl.fcntl(f,fcntl.F_SETLEASE,fcntl.F_WRLCK); "
      "open('upper/ready','w'); time.sleep(8)";
  auto held =
      std::async(std::launch::async, [&] { return alice("python3 -c \"" + holder + "\""); });
  while (!stdfs::exists(dir_ / "upper/ready")) std::this_thread::sleep_for(seconds(1) / 100);
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_NE(soon("cat f1", dir_ / "mnt").status, 137);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, seconds(6));
  EXPECT_EQ(soon("cat f2", dir_ / "mnt").out, "two");
  EXPECT_TRUE(held.get().ok());
}

INSTANTIATE_TEST_SUITE_P(Threads, ChangedLayers, testing::Values(1U, 2U));

// The lower is a FUSE file system that sleeps where the test says.
class SleepyLower
    : public testing::TestWithParam<std::tuple<fuse::Transport, unsigned, int, std::string>> {
 protected:
  void SetUp() override {
    if (transport() == fuse::Transport::kIoUring) {
      std::ifstream(kSwitch) >> switch_before_;
      std::ofstream(kSwitch) << "Y";
      if (!fuse::io_uring_available() || !fuse::any_thread_answers())
        GTEST_SKIP() << "no FUSE over io_uring here";
    }
    write_file(dir_ / "shown/dir/stuck", "stuck");
    write_file(dir_ / "shown/dir/other", "other");
    write_file(dir_ / "shown/dir/sub/file", "below");
    for (int i = 0; i < 100; ++i)
      write_file(dir_ / fmt::format("shown/else/f{}", i), std::to_string(i));
    for (const char* name : {"control", "sleepy", "upper", "work", "mnt"}) dir_.make(name);
    served_ = std::async(std::launch::async, [this] {
      return run({SLEEPY_FS, dir_ / "shown", dir_ / "control", dir_ / "sleepy", "-f", "-o",
                  "attr_timeout=0,entry_timeout=0,allow_other"},
                 {.timeout_seconds = 250});
    });
    for (int i = 0; i < 500 && !stdfs::exists(dir_ / "sleepy/dir"); ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    ASSERT_TRUE(stdfs::exists(dir_ / "sleepy/dir"));
    mount();
  }
  void mount() {
    fuse::MountOptions options;
    options.stack.lowerdirs = {dir_ / "sleepy"};
    for (int i = 1; i < std::get<2>(GetParam()); ++i)
      options.stack.lowerdirs.push_back(dir_.make(fmt::format("lower{}", i)));
    options.stack.upperdir = dir_ / "upper";
    options.stack.workdir = dir_ / "work";
    options.transport = transport();
    options.threads = std::get<1>(GetParam());
    options.mountpoint = dir_ / "mnt";
    mount_.emplace(options);
  }
  void TearDown() override {
    if (!switch_before_.empty()) std::ofstream(kSwitch) << switch_before_;
    if (!served_.valid()) return;
    wake();
    mount_.reset();
    umount2((dir_ / "sleepy").c_str(), MNT_DETACH);
    served_.get();
  }
  static fuse::Transport transport() { return std::get<0>(GetParam()); }
  static std::string operation() { return std::get<3>(GetParam()); }
  void wake() const { stdfs::remove(dir_ / "control" / operation()); }

  static constexpr const char* kSwitch = "/sys/module/fuse/parameters/enable_uring";
  std::string switch_before_;
  const TempDir dir_;
  std::future<Ran> served_;
  std::optional<LiveMount> mount_;
};

TEST_P(SleepyLower, HoldsUpNobodyElse) {
  const bool is_dir = operation() == "readdir";
  ASSERT_EQ(soon("ls dir else > /dev/null", dir_ / "mnt").status, 0);
  write_file(dir_ / "control" / operation(), is_dir ? "/dir/sub" : "/dir/stuck");
  std::vector<std::future<Ran>> asleep;
  for (int i = 0; i < 6; ++i) {
    asleep.push_back(std::async(std::launch::async, [&] {
      return run({"sh", "-c", is_dir ? "ls dir/sub" : "cat dir/stuck"},
                 {.directory = dir_ / "mnt"});
    }));
  }
  for (int i = 0; i < 500 && !stdfs::exists(dir_ / "control/asleep"); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  ASSERT_TRUE(stdfs::exists(dir_ / "control/asleep"));
  EXPECT_EQ(soon("stat -c %n else/* | wc -l", dir_ / "mnt").out, "100\n");
  EXPECT_EQ(soon("mkdir new; ln -s a new/b; rm else/f1; ls new else | wc -l", dir_ / "mnt").out,
            "103\n");
  // Opens of files that have the same guard (op::OpenFiles) wait for one that sleeps.
  if (operation() == "read") {
    EXPECT_EQ(soon("cat else/f2 dir/other; echo a >> else/f3; cat else/f3", dir_ / "mnt").out,
              "2other3a\n");
  }
  wake();
  for (auto& ended : asleep) EXPECT_EQ(ended.get().out, is_dir ? "file\n" : "stuck");
}

INSTANTIATE_TEST_SUITE_P(Ways, SleepyLower,
                         testing::Combine(testing::Values(fuse::Transport::kDevFuse),
                                          testing::Values(1U, 0U), testing::Values(1, 3),
                                          testing::Values("getattr", "read", "readdir")),
                         [](const auto& test) {
                           return fmt::format("DevFuse{}Threads{}Lowers{}", std::get<1>(test.param),
                                              std::get<2>(test.param), std::get<3>(test.param));
                         });
INSTANTIATE_TEST_SUITE_P(Rings, SleepyLower,
                         testing::Combine(testing::Values(fuse::Transport::kIoUring),
                                          testing::Values(0U), testing::Values(1, 3),
                                          testing::Values("getattr", "read", "readdir")),
                         [](const auto& test) {
                           return fmt::format("{}Lowers{}", std::get<2>(test.param),
                                              std::get<3>(test.param));
                         });

}  // namespace
}  // namespace layerfs::test
