// image-store.
#include "fs/sys/interruption.h"
#include "layerstore/image_store.h"
#include "layerstore/store.h"
#include "tools/command_line.h"
#include "tools/store_commands.h"

namespace layerfs::tools {

namespace {

Outcome<void> carry_out_image_store(const std::string& root, bool remove, Io& io) {
  LAYERFS_TRY_ASSIGN(const store::Store store, store::Store::open(root));
  if (remove) return store::remove_image_store(store);
  LAYERFS_TRY_ASSIGN(const std::vector<std::string> notes, store::write_image_store(store));
  for (const std::string& note : notes) warn(io, note);
  io.out.print("additionalimagestores = [\"{}\"]\n", store.dir().path(store::kImageStore));
  return {};
}

}  // namespace

void refresh_image_store(const store::Store& store, Io& io) {
  if (!store::has_image_store(store.dir())) return;
  const auto written = store::write_image_store(store);
  if (!written) warn(io, "podman does not see the change: " + written.error().sentence);
}

int run_image_store(const Args& args, Io& io) {
  CommandLine line("Let podman and buildah use the store's images", "layerfs image-store");
  CommonOptions common;
  bool remove = false;
  line.add_flag("--remove", remove, "Take that back; containers over these images must be gone");
  add_root_option(line, common);
  line.footer(
      "Makes an additional image store of containers-storage beside the images and prints the\n"
      "line that makes it known, in the section [storage.options] of storage.conf. Its layers are\n"
      "the store's own, on the disk once; `layerfs import` and `layerfs rmi` keep it up to date.\n"
      "layerfs must be podman's mount program. An image that a container of podman needs is not\n"
      "to be removed: the store does not know.");
  if (const std::optional<int> status = line.parse(args, io)) return *status;
  const sys::InterruptingSignals signals;
  const auto done = carry_out_image_store(common.root, remove, io);
  return done ? kDone : report(io, done.error());
}

}  // namespace layerfs::tools
