#include "fs/fuse/served_calls.h"

#include <linux/btrfs.h>
#include <linux/fs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <sstream>
#include <string>
#include <string_view>

#include "fs/sys/sanitized.h"

namespace layerfs::fuse {

namespace {

constexpr bool kSanitized = sys::kAddressSanitized || sys::kThreadSanitized;

// Everywhere on the machine's file systems, as far as the capabilities reach.
constexpr std::string_view kFileCalls =
    "access chdir chmod chown close close_range copy_file_range dup dup2 dup3 faccessat "
    "faccessat2 fadvise64 fadvise64_64 fallocate fchdir fchmod fchmodat fchown fchownat fcntl "
    "fcntl64 fdatasync fgetxattr flistxattr flock fremovexattr fsetxattr fstat fstat64 "
    "fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 getcwd getdents getdents64 "
    "getxattr lchown lgetxattr link linkat listxattr llistxattr lremovexattr lseek _llseek "
    "lsetxattr lstat lstat64 mkdir mkdirat mknod mknodat name_to_handle_at newfstatat open "
    "open_by_handle_at openat openat2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read "
    "readahead readlink readlinkat readv removexattr rename renameat renameat2 rmdir sendfile "
    "setxattr stat stat64 statfs statfs64 statx symlink symlinkat sync_file_range "
    "sync_file_range2 syncfs truncate truncate64 umask unlink unlinkat utimensat "
    "utimensat_time64 write writev";

// Newer ones, whose numbers are the same on every architecture.
struct NewCall {
  const char* name;
  int number;
};
constexpr NewCall kNewFileCalls[] = {{"fchmodat2", 452},
                                     {"setxattrat", 463},
                                     {"getxattrat", 464},
                                     {"listxattrat", 465},
                                     {"removexattrat", 466}};

// The C and C++ libraries: memory, threads, time, and what they ask about the process.
constexpr std::string_view kLibraryCalls =
    "brk capget clock_getres clock_getres_time64 clock_gettime clock_gettime64 "
    "clock_nanosleep clock_nanosleep_time64 exit exit_group futex futex_time64 futex_waitv "
    "get_robust_list getcpu getegid geteuid getgid getpid getppid getrandom getrlimit gettid "
    "gettimeofday getuid madvise membarrier mincore mremap msync munmap nanosleep pause "
    "restart_syscall rseq rt_sigaction rt_sigprocmask rt_sigreturn rt_sigtimedwait "
    "sched_getaffinity sched_getparam sched_getscheduler sched_setaffinity sched_setscheduler "
    "sched_yield set_robust_list set_tid_address sigaltstack sigreturn sysinfo time "
    "ugetrlimit uname";

// The daemon's own: waiting for requests, the ids of callers, the end of the mount and of the
// process that calls fusermount3.
constexpr std::string_view kDaemonCalls =
    "eventfd2 pipe2 poll ppoll ppoll_time64 setfsgid setfsgid32 setfsuid setfsuid32 umount2 "
    "wait4 waitid";

// To syslog.
constexpr std::string_view kSocketCalls = "connect send sendmsg sendto";

// What the sanitizers do by themselves, and for their report and the search for leaks at the end.
constexpr std::string_view kSanitizerCalls =
    "clone clone3 execve getpgrp getrusage ioctl kill mmap mmap2 mprotect personality pipe "
    "prctl prlimit64 process_vm_readv ptrace select pselect6 setrlimit socket socketpair "
    "tgkill tkill vfork fork";

// Type and number of requests of ioctl(2).
constexpr unsigned request(unsigned type, unsigned number) {
  return type << _IOC_TYPESHIFT | number << _IOC_NRSHIFT;
}
constexpr unsigned request(unsigned long whole) {
  return request(_IOC_TYPE(whole), _IOC_NR(whole));
}
constexpr unsigned kRequestMask = request(_IOC_TYPEMASK, _IOC_NRMASK);
constexpr unsigned kRequests[] = {
    request(FS_IOC_GETFLAGS), request(FS_IOC_SETFLAGS), request(FS_IOC_FSGETXATTR),
    request(FS_IOC_FSSETXATTR), request(FICLONE), request(FICLONERANGE),
    // Which file system it is, by the kernel, ext4, xfs and btrfs (fs/sys/file_handle.cc).
    request(0x15, 0), request('f', 44), request('X', 100), request(BTRFS_IOC_FS_INFO),
    // Passthrough: FUSE_DEV_IOC_BACKING_OPEN and _CLOSE.
    request(229, 1), request(229, 2),
    // Whether something is a terminal: TCGETS.
    request(0x5401)};

// Its flags lie in memory, where a filter does not see them; "clone" takes its place.
constexpr const char* kMissing[] = {"clone3"};

#if defined(__s390x__)
constexpr unsigned kCloneFlags = 1;
#else
constexpr unsigned kCloneFlags = 0;
#endif

// A rule for each word.
void add_all(std::string_view names, std::vector<sys::SyscallRule>& rules) {
  std::istringstream words{std::string(names)};
  for (std::string name; words >> name;) rules.push_back({name});
}

void add_limited_calls(std::vector<sys::SyscallRule>& rules) {
  for (const unsigned value : kRequests) rules.push_back({"ioctl", {{1, kRequestMask, value}}});
  // Threads and no processes.
  rules.push_back({"clone", {{kCloneFlags, CLONE_THREAD, CLONE_THREAD}}});
  // No memory becomes a program.
  for (const char* call : {"mmap", "mmap2", "mprotect"})
    rules.push_back({call, {{2, PROT_EXEC, 0}}});
  const auto self = static_cast<std::uint64_t>(::getpid());
  for (const char* call : {"kill", "tgkill"}) rules.push_back({call, {{0, 0xffffffff, self}}});
  for (const std::uint64_t option : {PR_SET_NAME, 0x53564d41 /* PR_SET_VMA */})
    rules.push_back({"prctl", {{0, 0xffffffff, option}}});
  rules.push_back({"prlimit64", {{0, 0xffffffff, 0}}});
  rules.push_back({"socket", {{0, 0xffffffff, AF_UNIX}}});
}

}  // namespace

std::vector<sys::SyscallRule> served_calls(bool io_uring) {
  std::vector<sys::SyscallRule> rules;
  for (const std::string_view group : {kFileCalls, kLibraryCalls, kDaemonCalls, kSocketCalls})
    add_all(group, rules);
  for (const NewCall& call : kNewFileCalls) rules.push_back({call.name, {}, call.number});
  // The rings are there: none can be made.
  if (io_uring) rules.push_back({"io_uring_enter"});
  if (kSanitized) {
    add_all(kSanitizerCalls, rules);
  } else {
    add_limited_calls(rules);
  }
  return rules;
}

std::span<const char* const> missing_calls() {
  if (kSanitized) return {};
  return kMissing;
}

}  // namespace layerfs::fuse
