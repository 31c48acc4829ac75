// Giving up privileges for good.
#pragma once

#include "fs/sys/capabilities.h"

namespace layerfs::sys {

// The process keeps no capability but those of `kept` that it has, and programs that it starts can
// have none but `inherited`; with CAP_SETPCAP only, else what they can have stays. It leaves no
// core dumps (RLIMIT_CORE), and other processes of its user cannot look into it (PR_SET_DUMPABLE).
// What fails is logged as a warning. Call before there are other threads.
void shed_privileges(CapabilitySet kept, CapabilitySet inherited);

// Programs that the process starts gain nothing by setuid bits and file capabilities.
void gain_no_privileges();

}  // namespace layerfs::sys
