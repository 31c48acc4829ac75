// What the test tells the library that stands between the daemon and its system calls.
#pragma once

#include <atomic>

namespace layerfs::test {

inline constexpr const char* kControlVariable = "LAYERFS_TEST_FAULTS";
inline constexpr int kKill = -1;

// In a file that both map. Counting begins when `armed` is set.
struct FaultControl {
  std::atomic<int> armed;
  std::atomic<int> seen;    // calls so far
  std::atomic<int> target;  // the call to fail; from 1
  std::atomic<int> action;  // an errno, or kKill: the process ends before the call is made
  std::atomic<int> fired;
  std::atomic<int> syncs;  // calls of syncfs so far
  char call[32];           // the name of what was failed
};

}  // namespace layerfs::test
