#include <unistd.h>

#include <string_view>

#include "tools/commands.h"
#include "tools/daemon.h"
#include "tools/io.h"
#include "tools/mount_commands.h"

namespace {

// mount(8), mount.fuse3 and umount(8) start a helper by a name that begins with what it is to do.
bool is_helper(std::string_view program, std::string_view task) {
  program.remove_prefix(program.rfind('/') + 1);
  return program.starts_with(task);
}

}  // namespace

int main(int argc, char** argv) {
  // What a careless caller left open would be kept open by the daemon of a mount.
  ::close_range(3, ~0U, 0);
  layerfs::tools::fill_standard_descriptors();
  layerfs::tools::log_to_stderr();
  layerfs::tools::Io io = layerfs::tools::standard_io();
  const layerfs::tools::Args args(argv + 1, argv + argc);
  const int status = is_helper(argv[0], "umount.")  ? layerfs::tools::run_umount_helper(args, io)
                     : is_helper(argv[0], "mount.") ? layerfs::tools::run_mount_helper(args, io)
                                                    : layerfs::tools::run_layerfs(args, io);
  return layerfs::tools::finish_output(io, status);
}
