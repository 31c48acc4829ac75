#include "tools/mounting.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "fs/fuse/passthrough.h"
#include "fs/fuse/session.h"
#include "fs/layer/whiteouts.h"
#include "fs/sys/file.h"
#include "fs/sys/inode_marks.h"
#include "fs/sys/mount.h"
#include "layerstore/layer_index.h"
#include "layerstore/snapshot.h"
#include "layerstore/store.h"
#include "layerstore/tree_writer.h"
#include "tools/command_line.h"
#include "tools/daemon.h"
#include "tools/runtime_state.h"

namespace layerfs::tools {

namespace {

namespace stdfs = std::filesystem;

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
    stack.whiteouts.emplace_back(layer::Whiteouts::kOverlay);
  }
  const auto rooted = std::ranges::find(layers, true, &store::Layer::has_root);
  if (rooted != layers.end()) {
    stack.root_lower = static_cast<std::size_t>(rooted - layers.begin());
  }
}

// The snapshot to write to: the named one if it is there, else a new one over the image.
Outcome<store::Snapshot> take_snapshot(const store::Store& store, const MountOrder& mount,
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
Outcome<Leases> resolve_image(MountOrder& mount) {
  LAYERFS_TRY_ASSIGN(const store::Store store, store::Store::open(mount.root));
  Leases leases;
  op::StackOptions& stack = mount.request.mount.stack;
  // A store whose user has no other ids cannot serve anybody else; the modes are shown all the
  // same.
  stack.recorded_owners_shown =
      store::TreeFormat::for_this_process().ownership == store::Ownership::kReal;
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

MountRecord record_of(const MountOrder& mount, const fuse::Session& session) {
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
  record.is_restricted = fuse::is_restricted(options);
  record.device = session.device();
  record.pid = ::getpid();
  record.since = std::chrono::duration_cast<std::chrono::nanoseconds>(
                     std::chrono::system_clock::now().time_since_epoch())
                     .count();
  return record;
}

// podman asks for a mapping and hands over layers on idmapped mounts as well: to map again would
// map twice, and what is written belongs to those who are seen, as with kernel overlayfs there.
void forget_ids_mapped_below(op::StackOptions& stack) {
  if (stack.ids.are_identity()) return;
  const auto is_mapped = [](const std::string& dir) { return sys::is_idmapped(dir.c_str()); };
  if (std::ranges::any_of(stack.lowerdirs, is_mapped)) stack.ids = {};
}

// Whether chattr(1) has taken away that anything is prepared in the work directory.
bool is_held_up(const std::string& workdir) {
  const auto dir = sys::open_path(workdir.c_str(), O_PATH | O_DIRECTORY);
  if (!dir) return false;  // The mount will tell.
  const auto marks = sys::holding_marks(sys::At(dir->get()));
  if (marks && marks->immutable) return true;
  const auto inner = sys::holding_marks(sys::At(dir->get(), "work"));
  return inner && (inner->immutable || inner->append_only);
}

// How the whiteouts of the upper are spelt, if it is one of containers-storage.
layer::Whiteouts whiteouts_of_upper(const std::string& upperdir) {
  const auto dir = sys::open_path(upperdir.c_str(), O_PATH | O_DIRECTORY);
  if (!dir) return layer::Whiteouts::kOverlay;  // The mount will tell.
  return layer::find_upper_whiteouts(dir->get()).value_or(layer::Whiteouts::kOverlay);
}

// The union is read-only, with what the upper has on top.
void give_up_writing(op::StackOptions& stack, layer::Whiteouts whiteouts) {
  stack.whiteouts.insert(stack.whiteouts.begin(), whiteouts);
  stack.lowerdirs.insert(stack.lowerdirs.begin(), stack.upperdir);
  if (!stack.layer_indexes.empty()) stack.layer_indexes.insert(stack.layer_indexes.begin(), "");
  stack.root_lower = 0;
  stack.upperdir.clear();
  stack.workdir.clear();
}

// Uppers that cannot be written, or not without damage.
void check_upper(op::StackOptions& stack, Io& io) {
  const layer::Whiteouts whiteouts = whiteouts_of_upper(stack.upperdir);
  if (whiteouts == layer::Whiteouts::kAufs) {
    // podman, which only wants to read: to compare the layer with the one below.
    spdlog::info("upperdir '{}' is an image's layer of containers-storage; mounting read-only",
                 stack.upperdir);
    return give_up_writing(stack, whiteouts);
  }
  // As kernel overlayfs.
  if (!is_held_up(stack.workdir)) return;
  warn(io, fmt::format("the workdir '{}' or its work/ is immutable or append-only (lsattr shows "
                       "it); mounting read-only",
                       stack.workdir));
  give_up_writing(stack, whiteouts);
}

// What was asked for beside userxattr has been refused before (check_layers()).
void use_user_xattrs(MountRequest& request, Io& io) {
  op::StackOptions& stack = request.mount.stack;
  if (!stack.user_xattr && (request.redirects_are_asked || request.metacopy_is_asked))
    warn(io,
         "redirect_dir= and metacopy= have no effect without privilege: marks are in user. "
         "attributes, as with userxattr");
  stack.user_xattr = true;
}

// A snapshot that was made for a mount which then failed holds nothing.
void drop_new_snapshot(const MountOrder& mount, Leases leases) {
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

}  // namespace

Outcome<Mounted> carry_out(MountOrder mount, Io& io) {
  fuse::MountOptions& options = mount.request.mount;
  if (options.debug) spdlog::set_level(spdlog::level::debug);
  options.mountpoint = absolute_mountpoint(options.mountpoint);
  Leases leases;
  if (names_layers(mount.request)) {
    LAYERFS_TRY(check_layers(mount.request));
    if (options.stack.whiteouts.size() == 1)
      options.stack.whiteouts.resize(options.stack.lowerdirs.size(), options.stack.whiteouts[0]);
    forget_ids_mapped_below(options.stack);
  } else {
    LAYERFS_TRY_ASSIGN(leases, resolve_image(mount));
  }
  if (!options.stack.workdir.empty()) check_upper(options.stack, io);
  // Only root of the machine can write trusted.overlay.*; kernel overlayfs asks for userxattr
  // there.
  if (!fuse::may_pass_through()) use_user_xattrs(mount.request, io);
  if (fuse::is_restricted(options))
    warn(io, fmt::format("{} is nosuid,nodev: with xattr_permissions=2 whoever owns a file writes "
                         "whose it is shown to be",
                         options.mountpoint));

  std::unique_ptr<RecordFile> record;
  const Start start = [&]() -> Outcome<std::unique_ptr<fuse::Session>> {
    LAYERFS_TRY_ASSIGN(auto session, fuse::Session::mount(options));
    // Before anybody is told that the mount is live, and before the working directory changes.
    record = std::make_unique<RecordFile>(record_of(mount, *session));
    if (mount.foreground) {
      io.err.print("layerfs: {} is mounted ({}); interrupt to unmount\n", options.mountpoint,
                   session->description());
    }
    return session;
  };
  const Serve serve = [&](fuse::Session& session) -> Outcome<void> {
    auto served = session.serve();
    record.reset();
    if (options.debug) log_counts(session);
    return served;
  };
  const Mounted mounted{mount.request.snapshot, leases.snapshot_is_new};
  auto done = run_session(start, serve, mount.foreground);
  if (done) return mounted;
  drop_new_snapshot(mount, std::move(leases));
  return tl::make_unexpected(std::move(done.error()));
}

}  // namespace layerfs::tools
