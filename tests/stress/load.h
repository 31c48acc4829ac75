// A load of every file operation from many threads on one tree, and what it found wrong.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace layerfs::test {

struct LoadOptions {
  std::string root;  // a writable mount of make_layers()
  unsigned threads = 16;
  std::chrono::seconds time{10};
  std::uint64_t seed = 1;
  // The mount passes files through: an open that cannot be walked again may be answered ESTALE.
  bool passthrough = true;
};

struct LoadReport {
  std::map<std::string, std::uint64_t> done;  // operation and its result -> how often
  std::vector<std::string> wrong;             // what may not be, a sentence each; the first few
  std::uint64_t wrong_count = 0;

  void add(const LoadReport& other);
};

// Makes the lower layers top/, middle/ and bottom/ in `dir`: merged directories, data files,
// programs, hard links, symlinks, special files, whiteouts and opaque directories, and the files
// that each of `threads` owners has for itself.
void make_layers(const std::string& dir, unsigned threads);

// Most of each thread's operations are on names that all threads fight for: their errors must be
// among those that such a race explains. The others are on files that only this thread touches, in
// directories that all threads rename: these must always hold what was last written, through each
// descriptor and mapping, however old.
LoadReport run_load(const LoadOptions& options);

}  // namespace layerfs::test
