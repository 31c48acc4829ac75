#include "fs/tree/work_lock.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <future>
#include <memory>
#include <optional>

#include <gtest/gtest.h>

#include "fs/tree/work_dir.h"
#include "tests/support/temp_dir.h"

namespace layerfs::tree {
namespace {

using std::chrono::seconds;

class WorkLock : public testing::Test {
 protected:
  Outcome<std::unique_ptr<WorkDir>> open() const {
    sys::UniqueFd root(::open(dir_.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    return WorkDir::open(std::move(root), "the workdir", false, false);
  }
  std::future<bool> open_elsewhere() const {
    return std::async(std::launch::async, [this] { return open().has_value(); });
  }

  const test::TempDir dir_;
};

TEST_F(WorkLock, WhatIsInUseIsRefusedSoon) {
  const auto held = open();
  ASSERT_TRUE(held) << held.error().sentence;
  const auto before = std::chrono::steady_clock::now();
  const auto refused = open();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, EBUSY);
  EXPECT_NE(refused.error().sentence.find("in use by another mount"), std::string::npos);
  EXPECT_LT(std::chrono::steady_clock::now() - before, seconds(10));
}

TEST_F(WorkLock, ItWaitsForADaemonThatIsEnding) {
  auto held = open();
  ASSERT_TRUE(held) << held.error().sentence;
  (*held)->announce_end();
  auto opened = open_elsewhere();
  EXPECT_EQ(opened.wait_for(seconds(5)), std::future_status::timeout);
  held->reset();
  EXPECT_TRUE(opened.get());
}

TEST_F(WorkLock, AnEndThatIsAnnouncedLateIsWaitedForAsWell) {
  auto held = open();
  ASSERT_TRUE(held) << held.error().sentence;
  auto opened = open_elsewhere();
  EXPECT_EQ(opened.wait_for(seconds(1)), std::future_status::timeout);
  (*held)->announce_end();
  EXPECT_EQ(opened.wait_for(seconds(4)), std::future_status::timeout);
  held->reset();
  EXPECT_TRUE(opened.get());
}

TEST_F(WorkLock, ADaemonThatIsKilledWhileItEndsIsWaitedForNoMore) {
  const pid_t child = ::fork();
  if (child == 0) {
    const auto held = open();
    if (!held) ::_exit(1);
    (*held)->announce_end();
    ::raise(SIGSTOP);
    ::pause();
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, WUNTRACED), child);
  ASSERT_TRUE(WIFSTOPPED(status));
  auto opened = open_elsewhere();
  EXPECT_EQ(opened.wait_for(seconds(3)), std::future_status::timeout);
  ASSERT_EQ(::kill(child, SIGKILL), 0);
  EXPECT_TRUE(opened.get());
  ::waitpid(child, &status, 0);
}

TEST_F(WorkLock, AnAnnouncementSaysNothingOfWhoComesNext) {
  auto held = open();
  ASSERT_TRUE(held) << held.error().sentence;
  (*held)->announce_end();
  held->reset();
  held = open();
  ASSERT_TRUE(held) << held.error().sentence;
  const auto refused = open();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, EBUSY);
}

}  // namespace
}  // namespace layerfs::tree
