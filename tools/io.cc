#include "tools/io.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <iostream>

namespace layerfs::tools {

Io standard_io() {
  Io io{std::cout, std::cerr};
  io.is_terminal = ::isatty(STDERR_FILENO) == 1;
  winsize size{};
  if (io.is_terminal && ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
    io.width = size.ws_col;
  }
  return io;
}

}  // namespace layerfs::tools
