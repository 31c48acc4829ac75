// Every operation from many threads at once, against the daemon itself and against one with the
// thread sanitizer, which ends at the first race. LAYERFS_STRESS_SECONDS says for how long, for
// runs by hand, and LAYERFS_STRESS_COUNTS shows what was done.
#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/oracle/compare.h"
#include "tests/oracle/forked.h"
#include "tests/oracle/generate.h"
#include "tests/oracle/process.h"
#include "tests/oracle/scratch_fs.h"
#include "tests/oracle/subject.h"
#include "tests/stress/load.h"
#include "tests/support/command.h"

namespace layerfs::test {
namespace {

using oracle::compare_exactly;
using oracle::compare_trees;
using oracle::SnapshotScope;
using oracle::to_text;

constexpr unsigned kThreads = 16;

std::chrono::seconds load_time() {
  const char* given = std::getenv("LAYERFS_STRESS_SECONDS");
  return std::chrono::seconds(given == nullptr ? 25 : std::atoi(given));
}

struct Way {
  const char* name;
  std::string program;
  const char* options;
  bool passthrough = true;
};

std::vector<Way> ways() {
  return {{"AsItIsDelivered", layerfs_program(), "passthrough=auto,threads=16"},
          {"WithoutPassthrough", LAYERFS_THREAD_DAEMON,
           "passthrough=none,transport=dev_fuse,threads=16", false},
          {"UnderTheThreadSanitizer", LAYERFS_THREAD_DAEMON,
           "passthrough=auto,transport=dev_fuse,threads=16"}};
}

class Stress : public testing::TestWithParam<Way> {
 protected:
  Stress() {
    if (run({"mkdir", "-p", dir_ + "/upper", dir_ + "/work", dir_ + "/mnt"}).status != 0)
      std::abort();
    make_layers(dir_, kThreads);
    plan_ = {.lowers = {dir_ + "/top", dir_ + "/middle", dir_ + "/bottom"},
             .upper = dir_ + "/upper",
             .work = dir_ + "/work",
             .target = dir_ + "/mnt",
             .options = oracle::kFullOptions,
             .log = dir_ + "/log"};
  }
  ~Stress() override { run({"rm", "-rf", dir_}); }

  oracle::Subject layerfs() const {
    return {oracle::SubjectKind::kLayerfs, GetParam().program, GetParam().options};
  }
  void mount(const oracle::Subject& subject) {
    auto mounted = oracle::LiveMount::mount(subject, plan_);
    ASSERT_TRUE(mounted) << mounted.error().sentence;
    live_ = *std::move(mounted);
  }
  void unmount() {
    const auto gone = live_->unmount();
    EXPECT_TRUE(gone) << gone.error().sentence << oracle::read_text(plan_.log);
    live_.reset();
  }

  // The load runs in a child: if the daemon hangs or dies this process can still end it.
  void load() {
    const auto limit = load_time() * 3 + std::chrono::seconds(120);
    const oracle::ForkedResult ran = oracle::run_forked(
        [&](int out) {
          const LoadReport report = run_load({.root = plan_.target,
                                              .threads = kThreads,
                                              .time = load_time(),
                                              .seed = 1,
                                              .passthrough = GetParam().passthrough});
          std::string text;
          for (const std::string& sentence : report.wrong) text += sentence + "\n";
          if (report.wrong_count > 0) text += fmt::format("{} wrong in all\n", report.wrong_count);
          oracle::write_all(out, text);
          if (std::getenv("LAYERFS_STRESS_COUNTS") != nullptr)
            for (const auto& [what, count] : report.done)
              fmt::print(stderr, "{:9} {}\n", count, what);
        },
        limit, [&] { live_->abort(); });
    EXPECT_EQ(ran.end, oracle::ForkedEnd::kDone) << ran.detail;
    EXPECT_EQ(ran.output, "");
    EXPECT_EQ(live_->daemon_death(), "") << oracle::read_text(plan_.log);
  }

  oracle::Snapshot snapshot(const std::string& root, SnapshotScope scope) {
    const oracle::ForkedResult taken = oracle::run_forked(
        [&](int out) { oracle::write_all(out, to_text(oracle::take_snapshot(root, scope))); },
        std::chrono::seconds(300), [&] { live_->abort(); });
    EXPECT_EQ(taken.end, oracle::ForkedEnd::kDone) << taken.detail;
    return oracle::parse_snapshot(taken.output).value_or(oracle::Snapshot());
  }
  // Without what depends on whether the disk has been written yet.
  oracle::Snapshot shown() {
    oracle::Snapshot all = snapshot(plan_.target, SnapshotScope::kMount);
    for (auto& [path, fields] : all) {
      fields.erase("holes");
      fields.erase("alloc");
    }
    return all;
  }

  static void expect_none(const std::string& what, const std::vector<oracle::Difference>& found) {
    for (std::size_t i = 0; i < found.size() && i < 20; ++i)
      ADD_FAILURE() << what << ": " << to_text(found[i]);
    EXPECT_EQ(found.size(), 0U) << what;
  }

  const std::string dir_ = oracle::isolated_ext4() + "/tree";
  oracle::MountPlan plan_;
  std::unique_ptr<oracle::LiveMount> live_;
};

TEST_P(Stress, LeavesOneTreeToAllAndTheLowersAsTheyWere) {
  std::vector<oracle::Snapshot> before;
  for (const std::string& lower : plan_.lowers)
    before.push_back(snapshot(lower, SnapshotScope::kRaw));
  mount(layerfs());
  load();
  const oracle::Snapshot live = shown();
  EXPECT_GT(live.size(), 50U);
  unmount();
  for (std::size_t i = 0; i < before.size(); ++i)
    expect_none("a lower changed",
                compare_exactly(before[i], snapshot(plan_.lowers[i], SnapshotScope::kRaw)));

  mount(layerfs());
  expect_none("another mount of the same", compare_exactly(live, shown()));
  unmount();

  oracle::Case tolerant;
  tolerant.options = plan_.options;
  mount(oracle::Subject{});
  expect_none("the kernel's mount of the same", compare_trees(tolerant, shown(), live));
  unmount();
}

INSTANTIATE_TEST_SUITE_P(Ways, Stress, testing::ValuesIn(ways()),
                         [](const auto& way) { return way.param.name; });

}  // namespace
}  // namespace layerfs::test
