// What a machine's state means for layerfs.
#pragma once

#include <string>
#include <vector>

#include "tools/doctor/machine.h"

namespace layerfs::tools {

enum class Verdict {
  kGood,
  kAdvice,   // works without it, but more slowly, or something that not everybody uses does not
  kMissing,  // without it nothing can be mounted
};

struct Finding {
  Verdict verdict;
  std::string topic;
  std::string sentence;  // what there is, or what is missing and how to get it
};

// One or more about each topic, in the order in which they need each other.
std::vector<Finding> judge(const Machine& machine);

}  // namespace layerfs::tools
