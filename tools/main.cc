#include <unistd.h>

#include <exception>
#include <string_view>

#include "tools/command_line.h"
#include "tools/commands.h"
#include "tools/io.h"
#include "tools/log.h"
#include "tools/mount_commands.h"
#include "tools/store_privileges.h"

namespace {

// mount(8), mount.fuse3 and umount(8) start a helper by a name that begins with what it is to do.
bool is_helper(std::string_view program, std::string_view task) {
  program.remove_prefix(program.rfind('/') + 1);
  return program.starts_with(task);
}

// What the standard library throws names files: it is printed as any other sentence.
int run(std::string_view program, const layerfs::tools::Args& args, layerfs::tools::Io& io) {
  try {
    if (is_helper(program, "umount.")) return layerfs::tools::run_umount_helper(args, io);
    if (is_helper(program, "mount.")) return layerfs::tools::run_mount_helper(args, io);
    return layerfs::tools::run_layerfs(args, io);
  } catch (const std::exception& error) {
    return layerfs::tools::report(io, error.what());
  }
}

}  // namespace

int main(int argc, char** argv) {
  // What a careless caller left open would be kept open by the daemon of a mount.
  ::close_range(3, ~0U, 0);
  layerfs::tools::fill_standard_descriptors();
  layerfs::tools::log_to_stderr("layerfs");
#if LAYERFS_STORE_PROGRAM
  layerfs::tools::shed_what_a_store_does_not_need();
#endif
  layerfs::tools::Io io = layerfs::tools::standard_io();
  const layerfs::tools::Args args(argv + 1, argv + argc);
  return layerfs::tools::finish_output(io, run(argv[0], args, io));
}
