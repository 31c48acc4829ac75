#include "tools/container/place.h"

#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <utility>
#include <vector>

#include "layerstore/store.h"
#include "tools/command_line.h"
#include "tools/container/bundle.h"
#include "tools/mounting.h"
#include "tools/runtime_state.h"
#include "tools/unmounting.h"

namespace layerfs::tools {

namespace {

Outcome<void> remove_snapshot(const std::string& root, const std::string& name) {
  LAYERFS_TRY_ASSIGN(const store::Store store, store::Store::open(root));
  return store.remove_snapshot(name);
}

}  // namespace

Outcome<void> ContainerPlace::unmount() {
  if (!std::exchange(mounted, false)) return {};
  LAYERFS_TRY_ASSIGN(const std::vector<LiveMount> mounts, live_mounts());
  LAYERFS_TRY_ASSIGN(const LiveMount mount, find_mount(mounts, rootfs_of(bundle)));
  auto done = unmount_one(mount, fuse::Unmount::kNow);
  if (done || done.error().code != EBUSY) return done;
  // Out of sight at least; it ends with its last user.
  static_cast<void>(unmount_one(mount, fuse::Unmount::kLazy));
  return done;
}

void ContainerPlace::clean(Io& io) {
  if (!name.empty()) runtime->remove(std::exchange(name, {}));
  if (const auto done = unmount(); !done) warn(io, done.error().sentence);
  if (const std::string old = std::exchange(snapshot, {}); !old.empty()) {
    if (const auto done = remove_snapshot(store, old); !done) {
      warn(io, "what the container wrote is left: " + done.error().sentence);
    }
  }
  if (const std::string old = std::exchange(bundle, {}); !old.empty()) {
    remove_bundle(old, remove_directory);
  }
}

Outcome<std::string> mount_rootfs(ContainerPlace& place, const std::string& image,
                                  const std::string& snapshot, RootfsUse use, Io& io) {
  MountOrder order;
  order.image = image;
  order.root = place.store;
  order.request.snapshot = snapshot;
  order.request.mount.mountpoint = rootfs_of(place.bundle);
  order.request.mount.source = image;
  order.request.mount.read_only = use == RootfsUse::kRead;
  order.request.mount.stack.volatile_upper = use == RootfsUse::kThrowAway;
  LAYERFS_TRY_ASSIGN(const Mounted mounted, carry_out(std::move(order), io));
  place.mounted = true;
  if (mounted.snapshot_is_new) place.snapshot = mounted.snapshot;
  return mounted.snapshot;
}

void keep_mounts_to_oneself() {
  if (::unshare(CLONE_NEWNS) != 0) return;
  // Not private: what is mounted elsewhere meanwhile shows here as well.
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) != 0) {
    // Then they are seen by others, as without the privilege.
    return;
  }
}

}  // namespace layerfs::tools
