// Problems of layers, for the log.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <unordered_set>

#include "fs/layer/observer.h"

namespace layerfs::layer {

// Logs each problem once, and no more than ten within five seconds, so that a damaged layer does
// not fill the log; how many were left out is logged when there is room again. A problem that was
// left out is logged when it comes up again. Thread-safe.
class ProblemLog : public Observer {
 public:
  using Now = std::function<std::chrono::steady_clock::time_point()>;
  explicit ProblemLog(Now now = std::chrono::steady_clock::now) : now_(std::move(now)) {}

  // An error if a request failed, else a warning.
  void problem(const Problem& problem) noexcept override;

 private:
  // Says whether another line may be logged now, and counts it. `left_out`: how many problems were
  // not logged in the period that has ended.
  bool take_line(std::uint64_t& left_out);
  bool is_new(const Problem& problem, std::uint64_t& left_out);

  const Now now_;
  std::mutex mutex_;
  // Hashes of what was logged. A collision hides a problem, which 64 bits make unlikely enough.
  std::unordered_set<std::uint64_t> logged_;
  std::chrono::steady_clock::time_point period_begin_;
  int lines_ = 0;  // in this period
  std::uint64_t left_out_ = 0;
};

}  // namespace layerfs::layer
