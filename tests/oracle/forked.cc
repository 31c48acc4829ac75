#include "tests/oracle/forked.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

#include "fs/sys/unique_fd.h"

namespace layerfs::oracle {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kReapLimit{5};

[[noreturn]] void run_child(const std::function<void(int)>& body, int out) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  body(out);
  ::_exit(0);
}

// Reads until the child closes its end; false when `deadline` comes first.
bool collect(int in, Clock::time_point deadline, std::string& output) {
  char buffer[65536];
  while (true) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
    if (left.count() <= 0) return false;
    pollfd waiting = {in, POLLIN, 0};
    if (::poll(&waiting, 1, static_cast<int>(left.count())) <= 0) continue;
    const ssize_t got = ::read(in, buffer, sizeof buffer);
    if (got == 0) return true;
    if (got > 0) output.append(buffer, static_cast<size_t>(got));
  }
}

// Waits for a killed child, but not for one that the kernel does not let go.
void reap(pid_t child) {
  const auto deadline = Clock::now() + kReapLimit;
  while (::waitpid(child, nullptr, WNOHANG) == 0 && Clock::now() < deadline) ::usleep(10000);
}

}  // namespace

void write_all(int fd, const std::string& text) {
  size_t at = 0;
  while (at < text.size()) {
    const ssize_t written = ::write(fd, text.data() + at, text.size() - at);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) ::_exit(3);
    at += static_cast<size_t>(written);
  }
}

ForkedResult run_forked(const std::function<void(int out)>& body, std::chrono::milliseconds limit,
                        const std::function<void()>& on_hang) {
  ForkedResult result;
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return {ForkedEnd::kCrashed, "", "no pipe"};
  const sys::UniqueFd in(ends[0]);
  sys::UniqueFd out(ends[1]);
  const pid_t child = ::fork();
  if (child < 0) return {ForkedEnd::kCrashed, "", "no child process"};
  if (child == 0) run_child(body, out.get());
  out.reset();
  if (!collect(in.get(), Clock::now() + limit, result.output)) {
    result.end = ForkedEnd::kHung;
    result.detail = fmt::format("no end after {} ms", limit.count());
    on_hang();
    ::kill(child, SIGKILL);
    reap(child);
    return result;
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  if (status != 0) {
    result.end = ForkedEnd::kCrashed;
    result.detail = WIFSIGNALED(status) ? fmt::format("signal {}", WTERMSIG(status))
                                        : fmt::format("exit {}", WEXITSTATUS(status));
  }
  return result;
}

}  // namespace layerfs::oracle
