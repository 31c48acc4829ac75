#include "tools/io.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
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

// Programs that are started get them too, for the same reason.
void fill_standard_descriptors() {
  while (true) {
    const int fd = ::open("/dev/null", O_RDONLY);
    if (fd >= 0 && fd <= STDERR_FILENO) continue;
    if (fd >= 0) ::close(fd);
    return;
  }
}

int finish_output(Io& io, int status) {
  errno = 0;
  if (io.out.flush()) return status;
  const int error = errno;
  io.err << "layerfs: the results cannot be written to standard output";
  if (error != 0) io.err << ": " << std::strerror(error);
  io.err << "\n";
  return status == 0 ? 1 : status;
}

}  // namespace layerfs::tools
