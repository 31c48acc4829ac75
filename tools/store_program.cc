// The store's commands as the program `layerfs` has them: a program of their own, which alone loads
// the libraries that read archives. A mount would pay for those with a quarter of its time.
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <ostream>
#include <string>
#include <system_error>
#include <vector>

#include "fs/sys/failure.h"
#include "tools/command_line.h"
#include "tools/store_commands.h"

namespace layerfs::tools {

namespace {

namespace stdfs = std::filesystem;

constexpr const char* kProgram = "layerfs-store";

// Beside this program in a build tree, in a directory of its own once both are installed, wherever
// that is. Never what the current directory holds: without /proc it is where it was to be
// installed.
std::vector<stdfs::path> places() {
  const stdfs::path installed = LAYERFS_LIBEXECDIR;
  std::error_code unknown;
  const stdfs::path self = stdfs::read_symlink("/proc/self/exe", unknown);
  if (!self.is_absolute()) return {installed / kProgram};
  const stdfs::path here = self.parent_path();
  const stdfs::path moved = here / installed.lexically_relative(LAYERFS_BINDIR);
  return {here / kProgram, (moved / kProgram).lexically_normal()};
}

// Becomes that program, so that whoever waits for this one, or ends it, has that one. Returns only
// on failure.
int become_store_program(const char* command, const Args& args, Io& io) {
  io.out.flush();
  io.err.flush();
  int error = ENOENT;
  const std::vector<stdfs::path> possible = places();
  for (const stdfs::path& place : possible) {
    std::vector<char*> words{const_cast<char*>(place.c_str()), const_cast<char*>(command)};
    for (const std::string& arg : args) words.push_back(const_cast<char*>(arg.c_str()));
    words.push_back(nullptr);
    ::execv(place.c_str(), words.data());
    if (errno != ENOENT) error = errno;
  }
  return report(io, refuse("`layerfs " + std::string(command) + "` cannot start '" +
                               possible.back().string() +
                               "', without which layerfs is not whole; install it again",
                           Errno(error))
                        .value());
}

}  // namespace

int run_import(const Args& args, Io& io) { return become_store_program("import", args, io); }
int run_images(const Args& args, Io& io) { return become_store_program("images", args, io); }
int run_inspect(const Args& args, Io& io) { return become_store_program("inspect", args, io); }
int run_rmi(const Args& args, Io& io) { return become_store_program("rmi", args, io); }
int run_snapshots(const Args& args, Io& io) { return become_store_program("snapshots", args, io); }
int run_check(const Args& args, Io& io) { return become_store_program("check", args, io); }
int run_gc(const Args& args, Io& io) { return become_store_program("gc", args, io); }
int run_index(const Args& args, Io& io) { return become_store_program("index", args, io); }
int run_image_store(const Args& args, Io& io) {
  return become_store_program("image-store", args, io);
}

}  // namespace layerfs::tools
