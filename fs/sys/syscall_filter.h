// A seccomp filter: the system calls that this process may make from now on (seccomp(2)).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "fs/sys/failure.h"

namespace layerfs::sys {

// What one argument of a system call must be.
struct ArgumentRule {
  unsigned argument;  // the first is 0
  std::uint64_t mask;
  std::uint64_t value;  // of the argument, masked
};

// A call that is allowed, if all its arguments are as they must be. Several rules for one name: if
// one of them holds.
struct SyscallRule {
  std::string name;  // as the kernel has it; names that this architecture lacks are left out
  std::vector<ArgumentRule> arguments = {};
  int number = -1;  // of a call that is newer than the name in libseccomp may be
};

// What becomes of a call that no rule allows. The kernel's log tells of it either way.
enum class Refused {
  kMissing,  // ENOSYS, as in a kernel that does not have it: C libraries then do without
  kKilled,   // the process is killed
};

// Whether this build has filters at all (libseccomp).
bool filters_syscalls();

// Installs the filter for all threads of the process and those that they start, for ever, and
// sets no_new_privs. `missing` are calls that C libraries try and do without: ENOSYS, and nobody is
// told. ENOSYS if this build or the kernel has no filters; then the process may do what it could.
Outcome<void> allow_only(std::span<const SyscallRule> rules, std::span<const char* const> missing,
                         Refused refused);

}  // namespace layerfs::sys
