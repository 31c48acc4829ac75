// What a command prints to: the terminal in the program, strings in a test.
#pragma once

#include <iosfwd>

namespace layerfs::tools {

struct Io {
  std::ostream& out;         // results: what a pipe reads
  std::ostream& err;         // errors, warnings, progress: what a person reads
  bool is_terminal = false;  // err is a terminal: progress bars may be drawn there
  int width = 80;            // columns of that terminal
};

// std::cout and std::cerr, with the properties of standard error's terminal.
Io standard_io();

}  // namespace layerfs::tools
