// The subcommand that checks the machine.
#pragma once

#include "tools/commands.h"

namespace layerfs::tools {

int run_doctor(const Args& args, Io& io);

}  // namespace layerfs::tools
