// The system calls of a process that serves a mount.
#pragma once

#include <span>
#include <vector>

#include "fs/sys/syscall_filter.h"

namespace layerfs::fuse {

// `io_uring`: requests come that way. The process is this one: it may send signals to itself.
std::vector<sys::SyscallRule> served_calls(bool io_uring);

// Calls that the C library tries and does without.
std::span<const char* const> missing_calls();

}  // namespace layerfs::fuse
