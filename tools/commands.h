// The subcommands of `layerfs`: each is a function of its arguments and an Io, so that a test runs
// a whole command in its own process.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tools/io.h"

namespace layerfs::tools {

// What follows the subcommand's name on the command line.
using Args = std::vector<std::string>;

// A whole command. Returns the exit status: one of the constants below, or a program's own.
using Run = int (*)(const Args& args, Io& io);

inline constexpr int kDone = 0;
inline constexpr int kFailed = 1;  // a sentence on io.err says why
inline constexpr int kUsage = 2;   // the command line itself was wrong

struct Command {
  std::string_view name;
  std::string_view summary;  // one line for `layerfs --help`
  Run run;
};

// In the order in which `layerfs --help` lists them.
std::span<const Command> commands();

// `layerfs ARGS...` without the program's name: finds the subcommand and runs it. A `--root DIR`
// before the subcommand is handed to it.
int run_layerfs(const Args& args, Io& io);

}  // namespace layerfs::tools
