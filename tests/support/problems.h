// What a mount or a layer tells of its problems, kept for a test.
#pragma once

#include <algorithm>
#include <mutex>
#include <string>
#include <vector>

#include "fs/layer/observer.h"

namespace layerfs::test {

// Thread-safe. Each problem as "LAYER|PATH|REASON|ERRNO", the errno as a number.
class Problems : public layer::Observer {
 public:
  void problem(const layer::Problem& problem) noexcept override {
    const std::lock_guard lock(mutex_);
    told_.push_back(problem.layer + "|" + problem.path + "|" + problem.reason + "|" +
                    std::to_string(problem.error));
  }

  // In the order in which they were told, each of them once.
  std::vector<std::string> told() const {
    const std::lock_guard lock(mutex_);
    std::vector<std::string> once;
    for (const std::string& each : told_)
      if (std::find(once.begin(), once.end(), each) == once.end()) once.push_back(each);
    return once;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> told_;
};

}  // namespace layerfs::test
