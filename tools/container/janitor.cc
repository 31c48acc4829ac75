#include "tools/container/janitor.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace layerfs::tools {

namespace {

[[noreturn]] void wait_and_clean(int line, const std::function<void()>& clean) {
  ::setsid();
  sigset_t all;
  sigfillset(&all);
  ::sigprocmask(SIG_BLOCK, &all, nullptr);
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) ::dup2(null, fd);
  char byte = 0;
  ssize_t got = 0;
  while ((got = ::read(line, &byte, 1)) < 0 && errno == EINTR) {
  }
  if (got == 0) clean();
  ::_exit(0);
}

}  // namespace

Outcome<Janitor> Janitor::hire(const std::function<void()>& clean) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return refuse("no pipe", Errno::last());
  const sys::UniqueFd reader(ends[0]);
  sys::UniqueFd writer(ends[1]);
  const pid_t pid = ::fork();
  if (pid < 0) return refuse("no process can be started", Errno::last());
  if (pid == 0) {
    writer.reset();
    wait_and_clean(reader.get(), clean);
  }
  return Janitor(pid, std::move(writer));
}

Janitor::~Janitor() {
  if (!line_) return;
  const char done = 'd';
  // It may have been killed itself.
  ::signal(SIGPIPE, SIG_IGN);
  [[maybe_unused]] const ssize_t written = ::write(line_.get(), &done, 1);
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

}  // namespace layerfs::tools
