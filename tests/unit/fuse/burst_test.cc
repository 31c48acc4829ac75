#include "fs/fuse/burst.h"

#include <sched.h>
#include <sys/resource.h>

#include <memory>
#include <thread>

#include <gtest/gtest.h>

namespace layerfs::fuse {
namespace {

using std::chrono::milliseconds;

// Tells what was asked of it.
struct Record {
  std::atomic<int> holds = 0;
  std::atomic<int> releases = 0;
};

class Recorder final : public AwakeProcessors {
 public:
  explicit Recorder(Record& record) : record_(record) {}
  void hold() noexcept override { ++record_.holds; }
  void release() noexcept override { ++record_.releases; }

 private:
  Record& record_;
};

// Whether `condition` holds within some seconds.
template <typename Condition>
bool soon(const Condition& condition) {
  for (int i = 0; i < 5000 && !condition(); ++i) std::this_thread::sleep_for(milliseconds(1));
  return condition();
}

void note_closely(Burst& burst, unsigned rounds) {
  for (unsigned i = 0; i < rounds * Burst::kRequests; ++i) burst.note();
}

TEST(Burst, CloseRequestsKeepProcessorsAwakeUntilTheyEnd) {
  Record record;
  Burst burst(std::make_unique<Recorder>(record));
  note_closely(burst, 3);
  EXPECT_TRUE(soon([&] { return record.holds == 1; }));
  EXPECT_TRUE(soon([&] { return record.releases == 1; }));
  EXPECT_FALSE(burst.under_way());
}

TEST(Burst, SaysThatItHasEndedOnceAndAfterItsProcessors) {
  Record record;
  std::atomic<int> ends = 0, releases_before = -1;
  Burst burst(std::make_unique<Recorder>(record), [&] {
    releases_before = record.releases.load();
    ++ends;
  });
  note_closely(burst, 3);
  EXPECT_TRUE(soon([&] { return ends == 1; }));
  EXPECT_EQ(releases_before, 1);
  std::this_thread::sleep_for(3 * Burst::kLinger);
  EXPECT_EQ(ends, 1);
}

TEST(Burst, StartsAgain) {
  Record record;
  Burst burst(std::make_unique<Recorder>(record));
  for (int i = 1; i <= 3; ++i) {
    ASSERT_TRUE(soon([&] {
      note_closely(burst, 2);
      return record.holds == i;
    }));
    ASSERT_TRUE(soon([&] { return record.releases == i; }));
  }
}

TEST(Burst, RequestsFarApartDoNothing) {
  Record record;
  {
    Burst burst(std::make_unique<Recorder>(record));
    for (int round = 0; round < 3; ++round) {
      for (unsigned i = 1; i < Burst::kRequests; ++i) burst.note();
      std::this_thread::sleep_for(2 * Burst::kClose);
      burst.note();
    }
  }
  EXPECT_EQ(record.holds, 0);
}

TEST(Burst, EndsInTheMidstOfABurst) {
  Record record;
  {
    Burst burst(std::make_unique<Recorder>(record));
    EXPECT_TRUE(soon([&] {
      note_closely(burst, 1);
      return burst.under_way();
    }));
  }
  EXPECT_EQ(record.holds, record.releases);
}

TEST(Burst, WithoutMeansNothingIsDone) {
  Burst burst(nullptr);
  note_closely(burst, 3);
  EXPECT_FALSE(burst.under_way());
}

double processor_seconds() {
  rusage usage = {};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) { return time.tv_sec + time.tv_usec / 1e6; };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

TEST(AwakeProcessors, UsesNoTimeWhileItIsNotHeld) {
  const auto processors = awake_processors();
  cpu_set_t all;
  ASSERT_EQ(::sched_getaffinity(0, sizeof all, &all), 0);
  if (CPU_COUNT(&all) > 1 && CPU_COUNT(&all) <= 4) {
    ASSERT_NE(processors, nullptr);
  }
  if (processors == nullptr) return;  // too many processors to spin on, and no right to ask
  processors->hold();
  std::this_thread::sleep_for(milliseconds(20));
  processors->release();
  std::this_thread::sleep_for(milliseconds(20));
  const double before = processor_seconds();
  std::this_thread::sleep_for(milliseconds(200));
  EXPECT_LT(processor_seconds() - before, 0.1);
}

}  // namespace
}  // namespace layerfs::fuse
