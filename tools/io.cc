#include "tools/io.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iostream>

namespace layerfs::tools {

namespace {

// Columns on a terminal, nearly: characters of double width are rare in names.
std::size_t width_of(std::string_view text) {
  return static_cast<std::size_t>(
      std::ranges::count_if(text, [](unsigned char byte) { return (byte & 0xc0) != 0x80; }));
}

}  // namespace

void Output::write(std::string_view text) { *sink_ << text; }

void Output::lines(std::string_view text) {
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    write(sys::escaped(text.substr(0, end)));
    if (end == text.npos) return;
    write("\n");
    text.remove_prefix(end + 1);
  }
}

void Output::table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::vector<std::string>> cells = rows;
  std::vector<std::size_t> widths;
  for (auto& row : cells) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) {
      row[i] = sys::escaped(row[i]);
      widths[i] = std::max(widths[i], width_of(row[i]));
    }
  }
  for (const auto& row : cells) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      write(row[i]);
      if (i + 1 < row.size()) write(std::string(widths[i] - width_of(row[i]) + 2, ' '));
    }
    write("\n");
  }
}

void Output::document(std::string_view json) {
  write(sys::json_escaped(json));
  write("\n");
}

void Output::flush() { sink_->flush(); }

bool Output::finish() { return static_cast<bool>(sink_->flush()); }

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
  if (io.out.finish()) return status;
  const int error = errno;
  io.err.print("layerfs: the results cannot be written to standard output{}{}\n",
               error != 0 ? ": " : "", error != 0 ? std::strerror(error) : "");
  return status == 0 ? 1 : status;
}

}  // namespace layerfs::tools
