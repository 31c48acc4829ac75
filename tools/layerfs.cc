#include <algorithm>
#include <array>

#include "tools/command_line.h"
#include "tools/commands.h"
#include "tools/container/commands.h"
#include "tools/doctor/doctor_command.h"
#include "tools/mount_commands.h"
#include "tools/store_commands.h"

namespace layerfs::tools {

namespace {

int run_help(const Args& args, Io& io);

int run_version(const Args&, Io& io) {
  io.out.print("layerfs {}\n", LAYERFS_VERSION);
  return kDone;
}

constexpr std::array kCommands = {
    Command{"import", "Take an image into the store", run_import},
    Command{"images", "List the store's images", run_images},
    Command{"inspect", "Show an image's configuration and layers", run_inspect},
    Command{"rmi", "Remove an image and what only it needed", run_rmi},
    Command{"mount", "Mount an image, or plain directories", run_mount},
    Command{"umount", "Unmount, and wait until all is written", run_umount},
    Command{"run", "Run a container of an image", run_run},
    Command{"bundle", "Make a directory that runc or crun runs", run_bundle},
    Command{"ps", "List the mounts", run_ps},
    Command{"snapshots", "List or remove the writable directories of mounts", run_snapshots},
    Command{"gc", "Remove layers and blobs that nothing needs", run_gc},
    Command{"check", "Verify the store", run_check},
    Command{"image-store", "Let podman and buildah use the store's images", run_image_store},
    Command{"index", "Describe a directory for faster mounts", run_index},
    Command{"doctor", "Check this machine", run_doctor},
    Command{"help", "Explain layerfs, or one command", run_help},
    Command{"version", "Print the version", run_version},
};

const Command* find_command(std::string_view name) {
  const auto found = std::ranges::find(kCommands, name, &Command::name);
  return found == kCommands.end() ? nullptr : &*found;
}

int run_help(const Args& args, Io& io) {
  if (!args.empty()) return run_layerfs({args[0], "--help"}, io);
  io.out.print(
      "layerfs: container images as directories\n\n"
      "Usage: layerfs [--root DIR] COMMAND [ARGUMENTS]\n\nCommands:\n");
  for (const Command& command : kCommands) {
    io.out.print("  {:<13}{}\n", command.name, command.summary);
  }
  io.out.print(
      "\n`layerfs COMMAND --help` explains a command. The store is --root, $LAYERFS_ROOT, or {}.\n",
      default_store_root());
  return kDone;
}

// Moves a `--root DIR` or `--root=DIR` that stands before the subcommand behind it.
Args with_root_behind_command(Args args) {
  if (args.empty()) return args;
  const std::size_t words = args[0].starts_with("--root=") ? 1 : args[0] == "--root" ? 2 : 0;
  if (words == 0 || args.size() <= words) return args;
  const auto command = args.begin() + static_cast<std::ptrdiff_t>(words);
  std::rotate(args.begin(), command, command + 1);
  return args;
}

}  // namespace

std::span<const Command> commands() { return kCommands; }

int run_layerfs(const Args& given, Io& io) {
  const Args args = with_root_behind_command(given);
  if (args.empty()) {
    run_help({}, io);
    return kUsage;
  }
  if (args[0] == "--help" || args[0] == "-h") return run_help({}, io);
  if (args[0] == "--version" || args[0] == "-V") return run_version({}, io);
  if (is_mount_helper_call(args)) return run_mount_helper(args, io);
  if (const Command* command = find_command(args[0])) {
    return command->run(Args(args.begin() + 1, args.end()), io);
  }
  if (args[0] == "--root" || args[0].starts_with("--root=")) {
    report(io,
           "--root takes a directory, and a command comes behind it; `layerfs --help` lists them");
    return kUsage;
  }
  report(io, "there is no command '" + args[0] + "'; `layerfs --help` lists them");
  return kUsage;
}

}  // namespace layerfs::tools
