// The subcommands that fill, show and clean the store.
#pragma once

#include "layerstore/store.h"
#include "tools/commands.h"

namespace layerfs::tools {

int run_import(const Args& args, Io& io);
int run_images(const Args& args, Io& io);
int run_inspect(const Args& args, Io& io);
int run_rmi(const Args& args, Io& io);
int run_snapshots(const Args& args, Io& io);
int run_check(const Args& args, Io& io);
int run_gc(const Args& args, Io& io);
int run_index(const Args& args, Io& io);
int run_image_store(const Args& args, Io& io);

// After a change of the store's images: its image store, if there is one, agrees with them again.
// What hinders that is a warning.
void refresh_image_store(const store::Store& store, Io& io);

}  // namespace layerfs::tools
