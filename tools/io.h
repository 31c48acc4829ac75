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

// Opens what is closed of the standard descriptors, so that no file that is opened later is taken
// for one of them. Reading finds the end, writing fails.
void fill_standard_descriptors();

// At the end of a program whose exit status would be `status`: the exit status, which is not 0 if
// the results could not be written. Then a sentence says so.
int finish_output(Io& io, int status);

}  // namespace layerfs::tools
