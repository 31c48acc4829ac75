// What the daemon of a mount gives up before it answers requests: doc/hardening.md lists what it
// keeps.
#pragma once

#include "fs/sys/capabilities.h"

namespace layerfs::fuse {

// The capabilities that serving a mount takes, for a process that has them.
sys::CapabilitySet needed_capabilities();

// Gives up all capabilities but those, in the bounding set all; core dumps, and that other
// processes of the same user look into this one (PR_SET_DUMPABLE). For the process of a mount and
// nothing else, before Session::mount() and before it has threads: programs that it starts
// afterwards have no capabilities.
void shed_privileges();

// Leaves the process the system calls that serving takes, and sets no_new_privs: no program can be
// started any more. Once Session::mount() is through; `io_uring`: requests come that way. Where
// that cannot be done a warning is logged. LAYERFS_SECCOMP in the environment: "off" leaves out the
// filter, "kill" ends the process upon a call that the filter refuses.
void confine(bool io_uring);

}  // namespace layerfs::fuse
