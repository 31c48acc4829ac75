#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "fs/fuse/kernel_mount.h"
#include "tools/command_line.h"
#include "tools/mount_commands.h"
#include "tools/mount_options.h"
#include "tools/mounting.h"
#include "tools/runtime_state.h"
#include "tools/unmounting.h"

namespace layerfs::tools {

namespace {

// Changes the flags of a mount. Its layers stay what they are.
Outcome<void> remount(const MountRequest& request, const std::string& directory) {
  LAYERFS_TRY_ASSIGN(const auto mounts, live_mounts());
  LAYERFS_TRY_ASSIGN(const LiveMount mount, find_mount(mounts, directory));
  const MountRecord& record = mount.record;
  if (mount.alive && record.upperdir.empty() && !request.mount.read_only) {
    return refuse(fmt::format("{} has no writable layer, so it stays read-only; unmount it and "
                              "mount it with one",
                              record.mountpoint),
                  EROFS);
  }
  fuse::KernelMount wanted{.mountpoint = record.mountpoint,
                           .source = mount.source,
                           .read_only = request.mount.read_only,
                           .options = request.mount.kernel_options};
  if (record.is_restricted) fuse::forbid_setuid(wanted);
  return fuse::remount(wanted);
}

int finish_remount(const MountRequest& request, const std::string& directory, Io& io) {
  const auto done = remount(request, directory);
  return done ? kDone : report(io, done.error());
}

int finish(MountOrder mount, Io& io) {
  for (const std::string& warning : mount.request.warnings) warn(io, warning);
  const auto done = carry_out(std::move(mount), io);
  return done ? kDone : report(io, done.error());
}

Outcome<void> parse_all(const std::vector<std::string>& texts, MountRequest& request) {
  for (const std::string& text : texts) LAYERFS_TRY(parse_mount_options(text, request));
  return {};
}

// Sorts out what the positional arguments mean. Without an image the source is the name that
// /proc/mounts shows.
Outcome<void> place_arguments(std::vector<std::string> words, MountOrder& mount) {
  const bool needs_image = !names_layers(mount.request);
  mount.request.mount.mountpoint = words.back();
  words.pop_back();
  std::string source = words.empty() ? "" : words.front();
  if (needs_image) {
    if (source.empty() && mount.request.snapshot.empty()) {
      return refuse("say what to mount: an image, --snapshot NAME, or -o lowerdir=DIR", EINVAL);
    }
    mount.image = source;
    if (source.empty()) source = mount.request.snapshot;
  }
  if (!source.empty() && mount.request.mount.source == "layerfs") {
    mount.request.mount.source = source;
  }
  return {};
}

// What the words of a mount helper's command line are.
struct HelperCall {
  std::vector<std::string> words;
  std::vector<std::string> options;
};

HelperCall split_helper_call(const Args& args) {
  HelperCall call;
  bool only_words = false;
  for (std::size_t i = 0; i < args.size(); ++i) {
    const std::string& arg = args[i];
    if (only_words || !arg.starts_with('-') || arg.size() < 2) {
      call.words.push_back(arg);
    } else if (arg == "--") {
      only_words = true;
    } else if (arg == "-t" || arg == "-N") {
      ++i;  // the type is known, and a namespace has been entered already
    } else if (arg == "-o") {
      if (++i < args.size()) call.options.push_back(args[i]);
    } else if (arg.starts_with("-o")) {
      call.options.push_back(arg.substr(2));
    } else if (arg == "-r") {
      call.options.emplace_back("ro");
    }  // else -f, -n, -s, -v, -w: they change nothing
  }
  return call;
}

}  // namespace

int run_mount(const Args& args, Io& io) {
  CommandLine line("Mount an image, or plain directories, at a directory", "layerfs mount");
  line.footer(
      "layerfs mount IMAGE DIR\n"
      "layerfs mount --snapshot NAME DIR\n"
      "layerfs mount -o lowerdir=A:B[,upperdir=U,workdir=W] DIR");
  CommonOptions common;
  add_root_option(line, common);
  std::vector<std::string> words, options;
  bool read_only = false;
  MountOrder mount;
  line.add_option("WHAT", words, "What to mount, and where").required().expected(1, 2);
  line.add_option("-o,--options", options, "Mount options, divided by commas")
      .type_name("OPTIONS")
      .one_at_a_time();
  line.add_flag("--read-only,-r", read_only, "Mount without a writable layer");
  line.add_option("--snapshot", mount.request.snapshot,
                  "Keep what is written under this name, or go on with what it holds")
      .type_name("NAME");
  line.add_flag("--foreground,-f", mount.foreground, "Stay until unmounted");
  if (const auto status = line.parse(args, io)) return *status;

  if (const auto parsed = parse_all(options, mount.request); !parsed) {
    return report(io, parsed.error());
  }
  if (read_only) mount.request.mount.read_only = true;
  if (mount.request.remount) return finish_remount(mount.request, words.back(), io);
  mount.root = mount.request.root.empty() ? common.root : mount.request.root;
  if (const auto placed = place_arguments(std::move(words), mount); !placed) {
    report(io, placed.error());
    return kUsage;
  }
  return finish(std::move(mount), io);
}

bool is_mount_helper_call(const Args& args) {
  if (args.empty()) return false;
  if (args[0].starts_with("-o")) return true;
  const bool known = std::ranges::find(commands(), args[0], &Command::name) != commands().end();
  return !known && !args[0].starts_with('-') && args.size() >= 2 &&
         std::ranges::any_of(args, [](const std::string& arg) { return arg.starts_with("-o"); });
}

int run_mount_helper(const Args& args, Io& io) {
  MountOrder mount;
  HelperCall call = split_helper_call(args);
  if (call.words.empty() || call.words.size() > 2) {
    report(io, "a mount helper is called with [SOURCE] DIR and -o OPTIONS");
    return kUsage;
  }
  if (const auto parsed = parse_all(call.options, mount.request); !parsed) {
    return report(io, parsed.error());
  }
  if (mount.request.remount) return finish_remount(mount.request, call.words.back(), io);
  CommonOptions common;
  CommandLine line("", "layerfs");
  add_root_option(line, common);
  if (const auto status = line.parse({}, io)) return *status;
  mount.root = mount.request.root.empty() ? common.root : mount.request.root;
  if (const auto placed = place_arguments(std::move(call.words), mount); !placed) {
    return report(io, placed.error());
  }
  return finish(std::move(mount), io);
}

}  // namespace layerfs::tools
