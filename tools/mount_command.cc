#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <ostream>
#include <utility>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "fs/fuse/passthrough.h"
#include "fs/fuse/session.h"
#include "layerstore/layer_index.h"
#include "layerstore/snapshot.h"
#include "layerstore/store.h"
#include "tools/command_line.h"
#include "tools/daemon.h"
#include "tools/mount_commands.h"
#include "tools/mount_options.h"
#include "tools/runtime_state.h"

namespace layerfs::tools {

namespace {

namespace stdfs = std::filesystem;

// One mount as it was asked for.
struct Mount {
  MountRequest request;
  std::string image;  // empty if the options name layers or a snapshot
  std::string root;   // the store
  bool foreground = false;
};

// What a mounted image needs besides the mount: as long as they live, the store keeps its layers.
struct Leases {
  std::optional<store::Snapshot> snapshot;
  bool snapshot_is_new = false;
  std::vector<store::Layer> layers;
};

void use_layers(const std::vector<store::Layer>& layers, op::StackOptions& stack) {
  for (const store::Layer& layer : layers) {
    // A store that cannot be written goes on without.
    (void)store::ensure_index(layer);
    stack.lowerdirs.push_back(layer.path);
    stack.layer_indexes.push_back(layer.index);
  }
  const auto rooted = std::ranges::find(layers, true, &store::Layer::has_root);
  if (rooted != layers.end()) {
    stack.root_lower = static_cast<std::size_t>(rooted - layers.begin());
  }
}

// The snapshot to write to: the named one if it is there, else a new one over the image.
Outcome<store::Snapshot> take_snapshot(const store::Store& store, const Mount& mount,
                                       bool& is_new) {
  const std::string& name = mount.request.snapshot;
  if (mount.image.empty()) return store.open_snapshot(name);
  LAYERFS_TRY_ASSIGN(const store::Image image, store.find(mount.image));
  if (!name.empty()) {
    LAYERFS_TRY_ASSIGN(const auto known, store.snapshots());
    const auto found = std::ranges::find(known, name, &store::SnapshotInfo::name);
    if (found != known.end()) {
      LAYERFS_TRY_ASSIGN(store::Snapshot snapshot, store.open_snapshot(name));
      if (snapshot.manifest == image.manifest) return snapshot;
      return refuse(fmt::format("snapshot '{}' was made of another image ({}); mount it alone with "
                                "--snapshot, or choose another name",
                                name, found->image.empty() ? found->manifest : found->image),
                    EEXIST);
    }
  }
  is_new = true;
  return store.create_snapshot(image, name);
}

// Fills in the layers of an image or snapshot.
Outcome<Leases> resolve_image(Mount& mount) {
  LAYERFS_TRY_ASSIGN(const store::Store store, store::Store::open(mount.root));
  Leases leases;
  op::StackOptions& stack = mount.request.mount.stack;
  if (mount.request.mount.read_only && mount.request.snapshot.empty()) {
    LAYERFS_TRY_ASSIGN(const store::Image image, store.find(mount.image));
    LAYERFS_TRY_ASSIGN(leases.layers, store.layers(image));
    use_layers(leases.layers, stack);
    return leases;
  }
  LAYERFS_TRY_ASSIGN(store::Snapshot snapshot, take_snapshot(store, mount, leases.snapshot_is_new));
  use_layers(snapshot.layers, stack);
  stack.upperdir = snapshot.upper;
  stack.workdir = snapshot.work;
  mount.request.snapshot = snapshot.name;
  if (mount.image.empty()) mount.image = snapshot.image;
  leases.snapshot = std::move(snapshot);
  return leases;
}

std::string absolute(const std::string& path) {
  return path.empty() ? path : stdfs::absolute(path).lexically_normal().string();
}

MountRecord record_of(const Mount& mount, const fuse::Session& session) {
  MountRecord record;
  const fuse::MountOptions& options = mount.request.mount;
  record.mountpoint = options.mountpoint;
  record.image = mount.image;
  record.snapshot = mount.request.snapshot;
  for (const std::string& lower : options.stack.lowerdirs) {
    record.lowerdirs.push_back(absolute(lower));
  }
  record.upperdir = absolute(options.stack.upperdir);
  record.transport = session.description();
  record.device = session.device();
  record.pid = ::getpid();
  record.since = std::chrono::duration_cast<std::chrono::nanoseconds>(
                     std::chrono::system_clock::now().time_since_epoch())
                     .count();
  return record;
}

// A snapshot that was made for a mount which then failed holds nothing.
void drop_new_snapshot(const Mount& mount, Leases leases) {
  if (!leases.snapshot || !leases.snapshot_is_new) return;
  const std::string name = leases.snapshot->name;
  leases = {};
  const auto store = store::Store::open(mount.root);
  if (!store) return;
  if (const auto removed = store->remove_snapshot(name); !removed) {
    spdlog::warn("{}", removed.error().sentence);
  }
}

void log_counts(const fuse::Session& session) {
  for (const auto& [kind, count] : session.request_counts()) {
    spdlog::info("{} requests {}", count, kind);
  }
}

// Makes the mount and serves it, or leaves a daemon that does.
Outcome<void> carry_out(Mount mount, Io& io) {
  fuse::MountOptions& options = mount.request.mount;
  if (options.debug) spdlog::set_level(spdlog::level::debug);
  options.mountpoint = absolute_mountpoint(options.mountpoint);
  Leases leases;
  if (names_layers(mount.request)) {
    LAYERFS_TRY(check_layers(mount.request));
  } else {
    LAYERFS_TRY_ASSIGN(leases, resolve_image(mount));
  }
  // Only root of the machine can write trusted.overlay.*; kernel overlayfs asks for userxattr
  // there.
  if (!fuse::may_pass_through()) options.stack.user_xattr = true;

  std::unique_ptr<RecordFile> record;
  const Start start = [&]() -> Outcome<std::unique_ptr<fuse::Session>> {
    LAYERFS_TRY_ASSIGN(auto session, fuse::Session::mount(options));
    // Before anybody is told that the mount is live, and before the working directory changes.
    record = std::make_unique<RecordFile>(record_of(mount, *session));
    if (mount.foreground) {
      io.err << "layerfs: " << options.mountpoint << " is mounted (" << session->description()
             << "); interrupt to unmount\n";
    }
    return session;
  };
  const Serve serve = [&](fuse::Session& session) -> Outcome<void> {
    auto served = session.serve();
    record.reset();
    if (options.debug) log_counts(session);
    return served;
  };
  auto done = run_session(start, serve, mount.foreground);
  if (!done) drop_new_snapshot(mount, std::move(leases));
  return done;
}

int finish(Mount mount, Io& io) {
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
Outcome<void> place_arguments(std::vector<std::string> words, Mount& mount) {
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
  CLI::App app("Mount an image, or plain directories, at a directory", "layerfs mount");
  app.footer(
      "layerfs mount IMAGE DIR\n"
      "layerfs mount --snapshot NAME DIR\n"
      "layerfs mount -o lowerdir=A:B[,upperdir=U,workdir=W] DIR");
  CommonOptions common;
  add_root_option(app, common);
  std::vector<std::string> words, options;
  bool read_only = false;
  Mount mount;
  app.add_option("WHAT", words, "What to mount, and where")->required()->expected(1, 2);
  app.add_option("-o,--options", options, "Mount options, divided by commas")
      ->type_name("OPTIONS")
      ->allow_extra_args(false);
  app.add_flag("--read-only,-r", read_only, "Mount without a writable layer");
  app.add_option("--snapshot", mount.request.snapshot,
                 "Keep what is written under this name, or go on with what it holds")
      ->type_name("NAME");
  app.add_flag("--foreground,-f", mount.foreground, "Stay until unmounted");
  if (const auto status = parse(app, args, io)) return *status;

  if (const auto parsed = parse_all(options, mount.request); !parsed) {
    return report(io, parsed.error());
  }
  if (read_only) mount.request.mount.read_only = true;
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
  Mount mount;
  HelperCall call = split_helper_call(args);
  if (call.words.empty() || call.words.size() > 2) {
    report(io, "a mount helper is called with [SOURCE] DIR and -o OPTIONS");
    return kUsage;
  }
  if (const auto parsed = parse_all(call.options, mount.request); !parsed) {
    return report(io, parsed.error());
  }
  CommonOptions common;
  CLI::App app;
  add_root_option(app, common);
  if (const auto status = parse(app, {}, io)) return *status;
  mount.root = mount.request.root.empty() ? common.root : mount.request.root;
  if (const auto placed = place_arguments(std::move(call.words), mount); !placed) {
    return report(io, placed.error());
  }
  return finish(std::move(mount), io);
}

}  // namespace layerfs::tools
