// What both kinds of operations share.
#pragma once

#include <cerrno>
#include <cstdint>
#include <string>

#include "tests/oracle/rng.h"
#include "tests/oracle/text.h"
#include "tests/stress/load.h"

namespace layerfs::test {

inline constexpr unsigned kSharedDirs = 4;

inline std::string shared_dir(std::uint64_t i) { return "d" + std::to_string(i); }
inline std::string own_file(unsigned thread, std::uint64_t i) {
  return "t" + std::to_string(thread) + "_" + std::to_string(i);
}

// One thread's state. Not thread-safe.
class Actor {
 public:
  Actor(int root, std::uint64_t seed) : root_(root), rng_(seed) {}

  const LoadReport& report() const { return report_; }

 protected:
  // Counts a call by its name and result; true if it succeeded. Keeps errno.
  bool note(const std::string& call, bool succeeded) {
    const int code = errno;
    ++report_.done[call + (succeeded ? "" : " " + oracle::errno_name(code))];
    errno = code;
    return succeeded;
  }
  void wrong(const std::string& sentence) {
    constexpr std::size_t kKept = 20;
    ++report_.wrong_count;
    if (report_.wrong.size() < kKept) report_.wrong.push_back(sentence);
  }

  const int root_;  // of the mount
  oracle::Rng rng_;
  LoadReport report_;
};

}  // namespace layerfs::test
