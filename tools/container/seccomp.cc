#include "tools/container/seccomp.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace layerfs::tools {

namespace {

// Made by syscall-names when this is built.
constexpr auto kKnown = std::to_array<std::string_view>({
#include "tools/container/syscall_names.inc"
});

// For whom manages the machine: modules, clocks, kernels, disks, the kernel's own log and buffers,
// and other programs' namespaces; or to mount, which shows more than the container's root. Most ask
// for capabilities that a container lacks. The kernel's keys know no containers.
constexpr auto kRefused = std::to_array<std::string_view>({
    "_sysctl",
    "acct",
    "add_key",
    "afs_syscall",
    "bdflush",
    "bpf",
    "clock_settime",
    "clock_settime64",
    "create_module",
    "delete_module",
    "fanotify_init",
    "finit_module",
    "fsconfig",
    "fsmount",
    "fsopen",
    "fspick",
    "get_kernel_syms",
    "init_module",
    "ioperm",
    "iopl",
    "kcmp",
    "kexec_file_load",
    "kexec_load",
    "keyctl",
    "lookup_dcookie",
    "mount",
    "mount_setattr",
    "move_mount",
    "nfsservctl",
    "open_by_handle_at",
    "open_tree",
    "perf_event_open",
    "pivot_root",
    "query_module",
    "quotactl",
    "quotactl_fd",
    "reboot",
    "request_key",
    "setns",
    "settimeofday",
    "stime",
    "swapoff",
    "swapon",
    "sysfs",
    "syslog",
    "umount",
    "umount2",
    "unshare",
    "uselib",
    "ustat",
    "vhangup",
    "vm86",
    "vm86old",
});

// Programs have another way where these do not exist: io_uring and userfaultfd have been the way
// out of many a container, and what clone3 is to make cannot be seen by a filter.
constexpr auto kMissing = std::to_array<std::string_view>({
    "clone3",
    "io_uring_enter",
    "io_uring_register",
    "io_uring_setup",
    "userfaultfd",
});

// Allowed with some arguments only, below.
constexpr auto kConditional = std::to_array<std::string_view>({"clone", "personality", "socket"});

// CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET.
constexpr unsigned long kNewNamespaces = 0x7E020000;
#if defined(__s390x__)
constexpr unsigned kCloneFlags = 1;
#else
constexpr unsigned kCloneFlags = 0;
#endif

// PER_LINUX and PER_LINUX32, each with and without UNAME26, and the question what is set. Others
// switch protections of the address space off.
constexpr auto kPersonalities = std::to_array<unsigned long>({0, 8, 0x20000, 0x20008, 0xffffffff});

// AF_VSOCK: to the host of a virtual machine, whatever the network namespace.
constexpr unsigned long kVsock = 40;

template <typename Names>
bool holds(const Names& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

std::vector<SyscallRule> syscall_rules() {
  SyscallRule allowed;
  for (const std::string_view name : kKnown) {
    if (!holds(kRefused, name) && !holds(kMissing, name) && !holds(kConditional, name))
      allowed.names.emplace_back(name);
  }
  std::vector<SyscallRule> rules{std::move(allowed)};
  rules.push_back({{kRefused.begin(), kRefused.end()}, false, {}});
  rules.push_back({{"clone"}, true, {{kCloneFlags, 0, kNewNamespaces}}});
  rules.push_back({{"socket"}, true, {{0, kVsock, 0, false}}});
  for (const unsigned long personality : kPersonalities)
    rules.push_back({{"personality"}, true, {{0, personality}}});
  return rules;
}

std::vector<std::string> syscall_architectures() {
#if defined(__x86_64__)
  return {"SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"};
#elif defined(__aarch64__)
  return {"SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"};
#else
  return {};
#endif
}

}  // namespace layerfs::tools
