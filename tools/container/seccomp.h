// Which system calls the programs of a container may make.
#pragma once

#include <string>
#include <vector>

namespace layerfs::tools {

// A rule of runtime-spec's linux.seccomp. `argument` limits it to calls in which that argument,
// masked, has the value, or has not.
struct SyscallRule {
  std::vector<std::string> names;
  bool allow = true;  // else EPERM
  struct Condition {
    unsigned argument;
    unsigned long value;
    unsigned long mask = 0;  // 0: the whole
    bool equal = true;
  };
  std::vector<Condition> conditions;
};

// What is in no rule does not exist (ENOSYS): calls that are newer than the C library which this
// was built with, and those that programs do without.
std::vector<SyscallRule> syscall_rules();

// The SCMP_ARCH_* names of this machine's architecture and those that it also runs; empty: the
// native one.
std::vector<std::string> syscall_architectures();

}  // namespace layerfs::tools
