#include "fs/layer/problem_log.h"

#include <cstring>
#include <exception>
#include <functional>
#include <string>
#include <utility>

#include <spdlog/spdlog.h>

#include "fs/sys/quote.h"

namespace layerfs::layer {
namespace {

// As pr_warn_ratelimited() of the kernel.
constexpr std::chrono::seconds kPeriod{5};
constexpr int kLinesPerPeriod = 10;
// When there are more, some of them will be logged again.
constexpr std::size_t kRemembered = 4096;

std::uint64_t hash_of(const Problem& problem) {
  std::string all = problem.layer;
  all += '\0';
  all += problem.path;
  all += '\0';
  all += problem.reason;
  return std::hash<std::string>()(all);
}

std::string line_of(const Problem& problem) {
  std::string line = "layer " + sys::quote(problem.layer) + ": " + sys::quote("/" + problem.path) +
                     ": " + sys::escaped(problem.reason);
  if (problem.error != 0) return line + ": " + ::strerrordesc_np(problem.error);
  return line + "; it is ignored";
}

}  // namespace

bool ProblemLog::take_line(std::uint64_t& left_out) {
  const auto now = now_();
  if (lines_ == 0 || now - period_begin_ >= kPeriod) {
    period_begin_ = now;
    lines_ = 0;
    left_out = std::exchange(left_out_, 0);
  }
  if (lines_ == kLinesPerPeriod) {
    ++left_out_;
    return false;
  }
  ++lines_;
  return true;
}

bool ProblemLog::is_new(const Problem& problem, std::uint64_t& left_out) {
  const std::uint64_t hash = hash_of(problem);
  const std::lock_guard lock(mutex_);
  if (logged_.contains(hash) || !take_line(left_out)) return false;
  if (logged_.size() == kRemembered) logged_.clear();
  logged_.insert(hash);
  return true;
}

void ProblemLog::problem(const Problem& problem) noexcept {
  try {
    std::uint64_t left_out = 0;
    if (!is_new(problem, left_out)) return;
    if (left_out != 0) spdlog::warn("{} more problems of layers were not logged", left_out);
    spdlog::log(problem.error != 0 ? spdlog::level::err : spdlog::level::warn, "{}",
                line_of(problem));
  } catch (const std::exception&) {
    // For want of memory nothing can be said.
  }
}

}  // namespace layerfs::layer
