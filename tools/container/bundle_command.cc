// bundle.
#include <filesystem>

#include "layerstore/store.h"
#include "tools/command_line.h"
#include "tools/container/bundle.h"
#include "tools/container/commands.h"
#include "tools/container/options.h"
#include "tools/container/place.h"
#include "tools/container/runtime.h"

namespace layerfs::tools {

namespace {

struct BundleOrder : ContainerOrder {
  std::string directory;
  bool terminal = false;
  bool no_mount = false;
};

// What has been made so far goes, unless it is released.
class Making {
 public:
  explicit Making(Io& io) : io_(io) {}
  Making(const Making&) = delete;
  Making& operator=(const Making&) = delete;
  ~Making() { place_.clean(io_); }

  ContainerPlace& place() { return place_; }
  void release() { place_ = {}; }

 private:
  Io& io_;
  ContainerPlace place_;
};

// Leaves a whole bundle or nothing. Returns the name of the snapshot that is mounted.
Outcome<std::string> carry_out_bundle(const BundleOrder& order, Io& io) {
  LAYERFS_TRY_ASSIGN(const store::Store store, store::Store::open(order.root));
  LAYERFS_TRY_ASSIGN(const store::Image image, store.find(order.image));
  Making making(io);
  ContainerPlace& place = making.place();
  place.store = order.root;
  LAYERFS_TRY_ASSIGN(place.remove_directory, make_bundle(order.directory));
  place.bundle = order.directory;
  // Without a mount the image is only looked at, for its users.
  const std::string wanted = order.no_mount ? "" : order.snapshot;
  LAYERFS_TRY_ASSIGN(std::string snapshot,
                     mount_rootfs(place, order.image, wanted,
                                  order.no_mount ? RootfsUse::kRead : RootfsUse::kKeep, io));
  LAYERFS_TRY(
      write_bundle(order.directory, image.config, order.container, order.terminal, order.no_mount));
  if (order.no_mount) LAYERFS_TRY(place.unmount());
  making.release();
  return snapshot;
}

// What to do with the bundle now.
void explain(const BundleOrder& order, const std::string& snapshot, Io& io) {
  const std::string rootfs = rootfs_of(order.directory);
  if (order.no_mount) {
    io.out.print("layerfs mount{} {} {}\n",
                 order.snapshot.empty() ? "" : " --snapshot " + order.snapshot, order.image,
                 rootfs);
  }
  const auto runtime = Runtime::find("");
  io.out.print("{} run --bundle {} NAME\nlayerfs umount {}\n",
               runtime ? std::filesystem::path(runtime->program()).filename().string() : "runc",
               order.directory, rootfs);
  if (!snapshot.empty()) {
    io.out.print("layerfs snapshots --rm {}    # or keep what was written\n", snapshot);
  }
}

}  // namespace

int run_bundle(const Args& args, Io& io) {
  ContainerCommandLine line("Make a directory that runc or crun starts a container from",
                            "layerfs bundle", args);
  BundleOrder order;
  line.own().add_option("DIR", order.directory, "The bundle: a new or empty directory").required();
  line.own().add_flag("--terminal,-t", order.terminal, "The container has a terminal");
  line.own().add_flag("--no-mount", order.no_mount,
                      "Leave DIR/rootfs empty, and say how to mount it");
  line.own().footer(
      "layerfs bundle [OPTIONS] IMAGE DIR [-- COMMAND [ARGUMENT]...]\n\n"
      "Writes DIR/config.json from the image's configuration and mounts the image at DIR/rootfs,\n"
      "over a snapshot of its own. Prints the commands that start the container and clean up.\n"
      "config.json is plain text, to be changed as one likes: runtime-spec explains it.\n"
      "`layerfs run` does all that, and cleans up, in one step.");
  if (const std::optional<int> status = line.parse(io)) return *status;
  order.directory = std::filesystem::absolute(order.directory).lexically_normal().string();
  if (order.directory.ends_with('/')) order.directory.pop_back();
  const auto made = [&]() -> Outcome<std::string> {
    LAYERFS_TRY_ASSIGN(static_cast<ContainerOrder&>(order), line.order("layerfs"));
    return carry_out_bundle(order, io);
  }();
  if (!made) return report(io, made.error());
  explain(order, *made, io);
  return kDone;
}

}  // namespace layerfs::tools
