#include "fs/fuse/confinement.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <thread>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "fs/fuse/served_calls.h"
#include "fs/sys/sanitized.h"
#include "tests/support/command.h"
#include "tests/support/temp_dir.h"

namespace layerfs::fuse {
namespace {

using Names = std::set<std::string>;

// What the sanitizers need is allowed as well.
constexpr bool kSanitized = sys::kAddressSanitized || sys::kThreadSanitized;

// How a process of its own ends that runs `body` with LAYERFS_SECCOMP set: 0 if that is true.
int in_process(const char* seccomp, const std::function<bool()>& body) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::setenv("LAYERFS_SECCOMP", seccomp, 1);
    ::_exit(body() ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

bool is_missing(long result) { return result == -1 && errno == ENOSYS; }

bool nothing_but_files_can_be_had() {
  return is_missing(::syscall(SYS_ptrace, 0, 0, 0, 0)) &&
         is_missing(::syscall(SYS_process_vm_readv, ::getpid(), nullptr, 0, nullptr, 0, 0)) &&
         is_missing(::syscall(SYS_execve, "/bin/true", nullptr, nullptr)) &&
         is_missing(::syscall(SYS_execveat, 0, "/bin/true", nullptr, nullptr, 0)) &&
         is_missing(::socket(AF_INET, SOCK_STREAM, 0)) &&
         is_missing(::socket(AF_NETLINK, SOCK_RAW, 0)) &&
         is_missing(::syscall(SYS_mount, "none", "/", "tmpfs", 0, nullptr)) &&
         is_missing(::syscall(SYS_open_tree, -1, "/", 0)) &&
         is_missing(::syscall(SYS_setns, 0, 0)) && is_missing(::syscall(SYS_unshare, 0)) &&
         is_missing(::syscall(SYS_bpf, 0, nullptr, 0)) &&
         is_missing(::syscall(SYS_io_uring_setup, 1, nullptr)) &&
         is_missing(::syscall(SYS_init_module, nullptr, 0, "")) &&
         is_missing(::syscall(SYS_keyctl, 0, 0, 0)) && is_missing(::syscall(SYS_setuid, 0)) &&
         is_missing(::syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, 0)) &&
         is_missing(::syscall(SYS_kill, ::getppid(), 0)) &&
         is_missing(::ioctl(STDIN_FILENO, TIOCSTI, "x")) &&
         is_missing(::prctl(PR_SET_DUMPABLE, 1)) &&
         ::mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
             MAP_FAILED;
}

bool files_and_threads_work() {
  const test::TempDir dir;
  test::write_file(dir / "file", "text");
  bool ran = false;
  std::thread([&] { ran = test::read_file(dir / "file") == "text"; }).join();
  return ran && ::kill(::getpid(), 0) == 0;
}

TEST(Confinement, LeavesTheCallsThatServingTakes) {
  if (kSanitized) return;
  EXPECT_EQ(in_process("",
                       [] {
                         confine(false);
                         return nothing_but_files_can_be_had() && files_and_threads_work();
                       }),
            0);
}

TEST(Confinement, HoldsThreadsThatAreThereAlready) {
  EXPECT_EQ(in_process("",
                       [] {
                         std::atomic<bool> confined = false;
                         bool refused = false;
                         std::thread before([&] {
                           while (!confined) std::this_thread::yield();
                           refused = is_missing(::syscall(SYS_setns, 0, 0));
                         });
                         confine(false);
                         confined = true;
                         before.join();
                         return refused;
                       }),
            0);
}

TEST(Confinement, ACallThatIsRefusedEndsTheProcessWhereThatIsAskedFor) {
  EXPECT_EQ(in_process("kill",
                       [] {
                         confine(false);
                         ::syscall(SYS_setns, 0, 0);
                         return true;
                       }),
            128 + SIGSYS);
}

TEST(Confinement, CallsThatTheLibraryDoesWithoutEndNothing) {
  EXPECT_EQ(in_process("kill",
                       [] {
                         confine(false);
                         return files_and_threads_work();
                       }),
            0);
}

TEST(Confinement, TheFilterCanBeLeftOut) {
  EXPECT_EQ(in_process("off",
                       [] {
                         confine(false);
                         return ::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 &&
                                ::syscall(SYS_setns, -1, 0) == -1 && errno == EBADF;
                       }),
            0);
}

TEST(Confinement, RingsCanBeUsedAndNotMade) {
  EXPECT_EQ(in_process("",
                       [] {
                         confine(true);
                         return ::syscall(SYS_io_uring_enter, -1, 0, 0, 0, nullptr, 0) == -1 &&
                                errno == EBADF &&
                                is_missing(::syscall(SYS_io_uring_setup, 1, nullptr));
                       }),
            0);
}

TEST(Confinement, KeepsNoOtherCapabilities) {
  EXPECT_EQ(in_process("",
                       [] {
                         shed_privileges();
                         rlimit core = {};
                         ::getrlimit(RLIMIT_CORE, &core);
                         return sys::effective_capabilities() == needed_capabilities() &&
                                ::prctl(PR_CAPBSET_READ, 0) == 0 && core.rlim_max == 0;
                       }),
            0);
}

TEST(Confinement, ANewUserIdTakesNoCapabilities) {
  EXPECT_EQ(in_process("",
                       [] {
                         shed_privileges();
                         ::syscall(SYS_setfsuid, 1000);
                         return sys::effective_capabilities() == needed_capabilities();
                       }),
            0);
}

// The part of doc/hardening.md below the heading.
std::string documented(const std::string& heading) {
  const std::string page = test::read_file(std::string(LAYERFS_SOURCE_ROOT) + "/doc/hardening.md");
  const std::size_t begin = page.find("\n## " + heading + "\n");
  if (begin == std::string::npos) return "";
  return page.substr(begin + 1, page.find("\n## ", begin + 1) - begin);
}

Names all_matches(const std::string& text, const std::string& pattern) {
  Names names;
  const std::regex regex(pattern);
  for (auto found = std::sregex_iterator(text.begin(), text.end(), regex);
       found != std::sregex_iterator(); ++found)
    names.insert((*found)[1]);
  return names;
}

TEST(Hardening, ThePageListsTheCapabilities) {
  const test::Ran ran = test::run({"capsh", fmt::format("--decode={:x}", needed_capabilities())});
  Names kept;
  for (const std::string& name : all_matches(ran.out, "(cap_[a-z_]+)")) {
    std::string upper = name;
    for (char& c : upper) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    kept.insert(upper);
  }
  EXPECT_EQ(all_matches(documented("Capabilities"), "\n\\| `(CAP_[A-Z_]+)`"), kept);
}

TEST(Hardening, ThePageListsTheSystemCalls) {
  if (kSanitized) return;
  Names free, limited;
  for (const sys::SyscallRule& rule : served_calls(true))
    (rule.arguments.empty() && rule.name != "io_uring_enter" ? free : limited).insert(rule.name);
  const std::string page = documented("System calls");
  Names listed;
  std::istringstream lines(page);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("    ")) continue;
    std::istringstream words(line);
    for (std::string word; words >> word;) listed.insert(word);
  }
  EXPECT_EQ(listed, free);
  EXPECT_EQ(all_matches(page, "\n\\| `([a-z0-9_]+)`"), limited);
}

}  // namespace
}  // namespace layerfs::fuse
