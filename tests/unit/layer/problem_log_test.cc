#include "fs/layer/problem_log.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <sstream>
#include <string>

#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

namespace layerfs::layer {
namespace {

class ProblemLogTest : public testing::Test {
 protected:
  ProblemLogTest() {
    auto logger = std::make_shared<spdlog::logger>(
        "test", std::make_shared<spdlog::sinks::ostream_sink_mt>(text_));
    logger->set_pattern("%l %v");
    spdlog::set_default_logger(std::move(logger));
  }
  ~ProblemLogTest() override { spdlog::set_default_logger(before_); }

  void tell(const std::string& path, int error = EIO) {
    log_.problem({"/l", path, "it is broken", error});
  }
  std::string lines() {
    std::string text = text_.str();
    text_.str("");
    return text;
  }

  const std::shared_ptr<spdlog::logger> before_ = spdlog::default_logger();
  std::ostringstream text_;
  std::chrono::steady_clock::time_point now_{std::chrono::hours(1)};
  ProblemLog log_{[this] { return now_; }};
};

TEST_F(ProblemLogTest, SaysWhereAndWhyAndWhatTheRequestGot) {
  tell("a/b");
  EXPECT_EQ(lines(), "error layer '/l': '/a/b': it is broken: Input/output error\n");
  log_.problem({"/l", "", "its mark is odd", 0});
  EXPECT_EQ(lines(), "warning layer '/l': '/': its mark is odd; it is ignored\n");
}

TEST_F(ProblemLogTest, SaysAProblemOnce) {
  for (int i = 0; i < 3; ++i) tell("a");
  EXPECT_EQ(lines(), "error layer '/l': '/a': it is broken: Input/output error\n");
  now_ += std::chrono::hours(1);
  tell("a");
  EXPECT_EQ(lines(), "");
}

TEST_F(ProblemLogTest, EscapesWhatNamesHold) {
  log_.problem({"/l\n", "a\x1b[31m\xff", "odd\x07", 0});
  EXPECT_EQ(lines(), "warning layer '/l\\x0a': '/a\\x1b[31m\\xff': odd\\x07; it is ignored\n");
}

TEST_F(ProblemLogTest, DoesNotFillTheLog) {
  for (int i = 0; i < 100; ++i) tell("file" + std::to_string(i));
  const std::string first = lines();
  EXPECT_EQ(std::count(first.begin(), first.end(), '\n'), 10);
  now_ += std::chrono::seconds(5);
  tell("file99");
  EXPECT_EQ(lines(),
            "warning 90 more problems of layers were not logged\n"
            "error layer '/l': '/file99': it is broken: Input/output error\n");
}

}  // namespace
}  // namespace layerfs::layer
