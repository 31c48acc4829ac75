// The loads that bench/run measures where starting a process for each call would drown the call.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace layerfs::bench {

// What a load works on. Each of `processes` processes has a Share of its own.
struct Share {
  std::string root;                // a directory, or the file for loads of one file
  std::vector<std::string> names;  // relative to `root`: this process's part of the list
  std::size_t count = 0;           // operations wanted, where there is no list
  std::size_t size = 0;            // bytes: of the file, or of one operation
  unsigned process = 0;            // from 0
};

// Runs in a process of its own and returns how many operations it did. A call that fails ends the
// process with a sentence: a load that does not do its work has no time.
using Run = std::size_t (*)(const Share&);

struct Load {
  std::string_view name;
  std::string_view help;
  Run run;
};

// metadata.cc
std::vector<Load> metadata_loads();
// data.cc
std::vector<Load> data_loads();

// Ends the process with "bench-loads: WHAT: the errno's text".
[[noreturn]] void give_up(std::string_view what);

}  // namespace layerfs::bench
