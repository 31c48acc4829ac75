// The subcommands that make containers.
#pragma once

#include "tools/commands.h"

namespace layerfs::tools {

int run_run(const Args& args, Io& io);
int run_bundle(const Args& args, Io& io);

}  // namespace layerfs::tools
