// Each operation with each of its system calls failed in turn, and with the daemon's death there:
// what is found is the tree from before or from after, whoever looks. LAYERFS_CRASH_ALL tries every
// error at every call, for runs by hand.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <set>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "fs/sys/unique_fd.h"
#include "tests/crash/control.h"
#include "tests/crash/operations.h"
#include "tests/oracle/compare.h"
#include "tests/oracle/forked.h"
#include "tests/oracle/generate.h"
#include "tests/oracle/process.h"
#include "tests/oracle/scratch_fs.h"
#include "tests/oracle/subject.h"
#include "tests/oracle/text.h"
#include "tests/support/command.h"
#include "tests/support/temp_dir.h"

namespace layerfs::test {
namespace {

using oracle::compare_exactly;
using oracle::Snapshot;
using oracle::SnapshotScope;
using oracle::to_text;

namespace fs = std::filesystem;

constexpr std::chrono::seconds kLimit{60};

// Who else may look at the upper.
oracle::Subject layerfs() {
  return {oracle::SubjectKind::kLayerfs, layerfs_program(), "passthrough=upper,transport=dev_fuse"};
}

class Crash : public testing::TestWithParam<Operation> {
 protected:
  Crash() {
    fs::remove_all(dir_);
    make_crash_layers(dir_);
    fs::create_directory(dir_ + "/mnt");
    write_file(dir_ + "/faults", std::string(sizeof(FaultControl), '\0'));
    const sys::UniqueFd fd(::open((dir_ + "/faults").c_str(), O_RDWR | O_CLOEXEC));
    void* memory =
        ::mmap(nullptr, sizeof(FaultControl), PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
    faults_ = static_cast<FaultControl*>(memory);
    plan_ = {.lowers = {dir_ + "/top", dir_ + "/bottom"},
             .upper = dir_ + "/upper",
             .work = dir_ + "/work",
             .target = dir_ + "/mnt",
             .options = oracle::kFullOptions,
             .log = dir_ + "/log"};
  }
  ~Crash() override {
    live_.reset();
    ::munmap(faults_, sizeof(FaultControl));
  }

  void renew_upper() {
    for (const std::string& each : {plan_.upper, plan_.work}) {
      fs::remove_all(each);
      fs::create_directory(each);
    }
  }
  void mount(const oracle::Subject& subject) {
    live_.reset();
    auto mounted = oracle::LiveMount::mount(subject, plan_);
    ASSERT_TRUE(mounted) << mounted.error().sentence;
    live_ = *std::move(mounted);
  }
  void mount_with_faults() {
    ::setenv("LD_PRELOAD", LAYERFS_FAULTS_LIBRARY, 1);
    ::setenv(kControlVariable, (dir_ + "/faults").c_str(), 1);
    mount(layerfs());
    ::unsetenv("LD_PRELOAD");
  }
  void unmount() {
    ASSERT_NE(live_, nullptr) << "it was not mounted";
    const auto gone = live_->unmount();
    EXPECT_TRUE(gone) << gone.error().sentence << oracle::read_text(plan_.log);
    live_.reset();
  }

  // Without what depends on whether the disk has been written yet.
  Snapshot snapshot(const std::string& root, SnapshotScope scope = SnapshotScope::kMount) {
    const oracle::ForkedResult taken = oracle::run_forked(
        [&](int out) { oracle::write_all(out, to_text(oracle::take_snapshot(root, scope))); },
        kLimit,
        [&] {
          if (live_) live_->abort();
        });
    EXPECT_EQ(taken.end, oracle::ForkedEnd::kDone) << taken.detail;
    Snapshot all = oracle::parse_snapshot(taken.output).value_or(Snapshot());
    for (auto& [path, fields] : all) {
      fields.erase("holes");
      fields.erase("alloc");
      // That a directory keeps its time when something is copied up into it is done at best.
      if (fields["type"] == "dir") fields.erase("mtime");
    }
    return all;
  }
  Snapshot shown() { return snapshot(plan_.target); }

  // Prepares and performs the operation in a child, with the fault in between. "ok" or the errno's
  // name; "hung" if the daemon does not answer.
  std::string perform(int target, int action) {
    faults_->seen = 0;
    faults_->fired = 0;
    faults_->target = target;
    faults_->action = action;
    const oracle::ForkedResult ran = oracle::run_forked(
        [&](int out) {
          const sys::UniqueFd root(::open(plan_.target.c_str(), O_RDONLY | O_DIRECTORY));
          const Operation& operation = GetParam();
          if (operation.prepare != nullptr && !operation.prepare(root.get()))
            oracle::write_all(out, "not prepared: ");
          faults_->armed = 1;
          const bool done = operation.act(root.get());
          faults_->armed = 0;
          oracle::write_all(out, done ? "ok" : oracle::errno_name(errno));
        },
        kLimit, [&] { live_->abort(); });
    faults_->armed = 0;
    return ran.end == oracle::ForkedEnd::kDone ? ran.output : "hung: " + ran.detail;
  }

  // The states that there may be: before the operation and after.
  void learn() {
    renew_upper();
    mount(layerfs());
    const oracle::ForkedResult ran = oracle::run_forked(
        [&](int) {
          const sys::UniqueFd root(::open(plan_.target.c_str(), O_RDONLY | O_DIRECTORY));
          if (GetParam().prepare != nullptr && !GetParam().prepare(root.get())) ::_exit(1);
        },
        kLimit, [] {});
    ASSERT_EQ(ran.end, oracle::ForkedEnd::kDone) << ran.detail;
    before_ = shown();
    unmount();
    renew_upper();
    mount(layerfs());
    ASSERT_EQ(perform(0, 0), "ok");
    after_ = shown();
    unmount();
  }

  // Empty if `found` is one of the two states that there may be; else how it differs from the
  // nearer one.
  std::string neither(const Snapshot& found, const std::function<std::vector<oracle::Difference>(
                                                 const Snapshot&, const Snapshot&)>& compare) {
    auto old = compare(before_, found);
    // While data follows a metacopy its time and capability cannot be kept; both are put back at
    // the end, unless the daemon dies before that or the call that puts the capability back fails.
    if (GetParam().completes_data)
      std::erase_if(old, [&](const oracle::Difference& difference) {
        return (difference.field == "mtime" && difference.got == "now") ||
               (loses_capability_ && difference.field == "x:security.capability");
      });
    const auto fresh = compare(after_, found);
    if ((old.empty() && !must_be_done_) || fresh.empty()) return "";
    std::string text;
    for (const auto& difference : old) text += "\n  from before: " + to_text(difference);
    for (const auto& difference : fresh) text += "\n  from after:  " + to_text(difference);
    return text;
  }

  void expect_whole(const std::string& when) {
    mount(layerfs());
    const std::string wrong = neither(shown(), compare_exactly);
    EXPECT_EQ(wrong, "") << when << ", mounted again";
    unmount();
    EXPECT_TRUE(fs::is_empty(plan_.work + "/work")) << when << ": the work directory is not clean";
    expect_whole_to_kernel(when);
  }

  void expect_whole_to_kernel(const std::string& when) {
    mount(oracle::Subject{});
    oracle::Case tolerant;
    tolerant.options = plan_.options;
    const std::string kernel =
        neither(shown(), [&](const Snapshot& expected, const Snapshot& found) {
          return compare_trees(tolerant, found, expected);
        });
    EXPECT_EQ(kernel, "") << when << ", mounted by the kernel";
    unmount();
  }

  // False if the operation makes fewer calls.
  bool fail_call(int target, int action) {
    renew_upper();
    mount_with_faults();
    const std::string result = perform(target, action);
    loses_capability_ = action == kKill || std::string_view(faults_->call) == "fsetxattr";
    // The kernel may ask for more after the call, and then that is what fails.
    must_be_done_ = result == "ok";
    if (faults_->fired == 0) {
      EXPECT_EQ(result, "ok");
      unmount();
      return false;
    }
    const std::string when =
        fmt::format("call {} ({}) {}: {}", target, static_cast<const char*>(faults_->call),
                    action == kKill ? "killed" : oracle::errno_name(action), result);
    if (action == kKill) {
      live_.reset();
      // Most deaths leave what another has left.
      if (!states_.insert(result + to_text(snapshot(plan_.upper)) + to_text(snapshot(plan_.work)))
               .second)
        return !HasFailure();
    } else {
      const Snapshot now = shown();
      EXPECT_EQ(neither(now, compare_exactly), "") << when;
      unmount();
      if (!states_
               .insert(to_text(snapshot(plan_.upper)) + to_text(snapshot(plan_.work)) +
                       to_text(now))
               .second)
        return !HasFailure();
      mount(layerfs());
      for (const auto& difference : compare_exactly(now, shown()))
        ADD_FAILURE() << when << ": another mount differs: " << to_text(difference);
      unmount();
    }
    expect_whole(when);
    return !HasFailure();
  }

  const std::string dir_ = oracle::isolated_ext4() + "/crash";
  oracle::MountPlan plan_;
  FaultControl* faults_ = nullptr;
  std::unique_ptr<oracle::LiveMount> live_;
  bool must_be_done_ = false;      // the operation said that it was
  bool loses_capability_ = false;  // what failed may have cost a file its capability
  std::set<std::string> states_;   // of the upper and the work directory
  Snapshot before_;
  Snapshot after_;
};

TEST_P(Crash, LeavesTheOldOrTheNew) {
  std::vector<Snapshot> lowers;
  for (const std::string& lower : plan_.lowers)
    lowers.push_back(snapshot(lower, SnapshotScope::kRaw));
  learn();
  static constexpr std::array kErrors = {ENOSPC, EIO, ENOMEM, EINTR};
  const bool all = std::getenv("LAYERFS_CRASH_ALL") != nullptr;
  for (int target = 1; fail_call(target, kKill); ++target) {
    if (!all) fail_call(target, kErrors[static_cast<std::size_t>(target) % kErrors.size()]);
    for (std::size_t i = 0; all && i < kErrors.size(); ++i) fail_call(target, kErrors[i]);
    if (HasFailure()) break;
  }
  for (std::size_t i = 0; i < lowers.size(); ++i)
    EXPECT_TRUE(compare_exactly(lowers[i], snapshot(plan_.lowers[i], SnapshotScope::kRaw)).empty())
        << "a lower changed";
}

// With an operation or none, then the end.
class EndOfAMount : public Crash {
 protected:
  int syncs_after(const std::function<void(const std::string& root)>& use) {
    renew_upper();
    mount_with_faults();
    faults_->syncs = 0;
    faults_->seen = 0;
    faults_->target = -1;
    faults_->armed = 1;
    use(plan_.target);
    unmount();
    faults_->armed = 0;
    return faults_->syncs.load();
  }
};

TEST_P(EndOfAMount, SyncsOnceWhatWasChanged) {
  const auto operate = [&](const std::string& root) {
    // In a process of its own: some keep descriptors.
    const oracle::ForkedResult ran = oracle::run_forked(
        [&](int out) {
          const sys::UniqueFd fd(::open(root.c_str(), O_RDONLY | O_DIRECTORY));
          const bool prepared = GetParam().prepare == nullptr || GetParam().prepare(fd.get());
          oracle::write_all(out, prepared && GetParam().act(fd.get()) ? "ok" : "failed");
        },
        kLimit, [&] { live_->abort(); });
    EXPECT_EQ(ran.output, "ok");
  };
  EXPECT_EQ(syncs_after(operate), 1);
}

class EndOfAMountLookedAt : public EndOfAMount {};

TEST_P(EndOfAMountLookedAt, SyncsNothing) {
  EXPECT_EQ(syncs_after([&](const std::string& root) {
              for (const auto& entry : fs::recursive_directory_iterator(root)) {
                if (!entry.is_regular_file()) continue;
                EXPECT_NE(read_file(entry.path()), "");
              }
            }),
            0);
}

INSTANTIATE_TEST_SUITE_P(Operations, EndOfAMount, testing::ValuesIn(operations()),
                         [](const auto& operation) { return operation.param.name; });
INSTANTIATE_TEST_SUITE_P(None, EndOfAMountLookedAt, testing::Values(operations().front()),
                         [](const auto& operation) { return operation.param.name; });
INSTANTIATE_TEST_SUITE_P(Operations, Crash, testing::ValuesIn(operations()),
                         [](const auto& operation) { return operation.param.name; });

}  // namespace
}  // namespace layerfs::test
