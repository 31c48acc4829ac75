// Programs run by a test.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace layerfs::test {

// What a program left behind. `status` is its exit status, or 128 + the signal that ended it.
struct Ran {
  int status = -1;
  std::string out;
  std::string err;

  bool ok() const { return status == 0; }
};

struct RunOptions {
  std::filesystem::path directory{};       // working directory; empty: the caller's
  std::string input{};                     // what it reads from standard input
  std::vector<std::string> environment{};  // "NAME=value", added to the caller's
  int timeout_seconds = 300;               // then its process group is killed, status 137
};

// Runs the program (argv[0] is searched in PATH) until it has ended and closed both outputs, so a
// program that detaches while holding its outputs open is waited for until the timeout.
// Throws std::runtime_error if no process can be made; a missing program is status 127.
Ran run(const std::vector<std::string>& argv, const RunOptions& options = {});

// The same for a script given to /bin/sh -e.
Ran shell(const std::string& script, const RunOptions& options = {});

// The `layerfs` program of this build.
std::string layerfs_program();

}  // namespace layerfs::test
