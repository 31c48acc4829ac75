#include "tools/daemon.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <string>
#include <utility>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "fs/fuse/confinement.h"
#include "fs/sys/unique_fd.h"
#include "tools/log.h"

namespace layerfs::tools {

namespace {

// A signal handler has no other way to what it is to stop. Null while there is nothing.
std::atomic<fuse::Session*> session_to_stop = nullptr;  // NOLINT: see above

void stop_session(int) {
  if (fuse::Session* session = session_to_stop.load()) session->stop();
}

// While it lives, the signals that ask a process to end stop the session instead.
class StopOnSignals {
 public:
  explicit StopOnSignals(fuse::Session& session) {
    session_to_stop = &session;
    struct sigaction action = {};
    action.sa_handler = stop_session;
    sigemptyset(&action.sa_mask);
    sigset_t heard;
    sigemptyset(&heard);
    for (std::size_t i = 0; i < kSignals.size(); ++i) {
      ::sigaction(kSignals[i], &action, &before_[i]);
      sigaddset(&heard, kSignals[i]);
    }
    ::signal(SIGPIPE, SIG_IGN);
    // Whoever started us may have blocked them, and that is inherited.
    ::pthread_sigmask(SIG_UNBLOCK, &heard, &mask_before_);
  }
  StopOnSignals(const StopOnSignals&) = delete;
  StopOnSignals& operator=(const StopOnSignals&) = delete;
  ~StopOnSignals() {
    ::pthread_sigmask(SIG_SETMASK, &mask_before_, nullptr);
    for (std::size_t i = 0; i < kSignals.size(); ++i) {
      ::sigaction(kSignals[i], &before_[i], nullptr);
    }
    session_to_stop = nullptr;
  }

 private:
  static constexpr std::array kSignals = {SIGTERM, SIGINT, SIGHUP};
  std::array<struct sigaction, kSignals.size()> before_ = {};
  sigset_t mask_before_ = {};
};

Outcome<void> serve_here(fuse::Session& session, const Serve& serve) {
  const StopOnSignals stop(session);
  return serve(session);
}

Outcome<void> run_in_foreground(const Start& start, const Serve& serve) {
  fuse::shed_privileges();
  LAYERFS_TRY_ASSIGN(auto session, start());
  session->confine();
  return serve_here(*session, serve);
}

// Whoever started us may wait for these to close, or want its working directory back.
void let_go() {
  const sys::UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  for (const int standard : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (!null || ::dup2(null.get(), standard) < 0) ::close(standard);
  }
  if (::chdir("/") != 0) spdlog::warn("the working directory stays in use");
}

// What the child tells the parent: nothing but one byte if the mount is live, else the errno and
// the sentence.
constexpr char kLive = 'L';
constexpr char kFailed = 'F';

void tell(int fd, const std::string& message) {
  // If the parent is gone there is nobody to tell.
  [[maybe_unused]] const ssize_t written = ::write(fd, message.data(), message.size());
}

[[noreturn]] void run_child(const Start& start, const Serve& serve, sys::UniqueFd parent) {
  ::setsid();
  // Whoever waits for the answer may have been killed: the mount is served all the same.
  ::signal(SIGPIPE, SIG_IGN);
  int status = 1;
  fuse::shed_privileges();
  {
    auto session = start();
    if (!session) {
      tell(parent.get(),
           fmt::format("{}{}\n{}", kFailed, session.error().code, session.error().sentence));
      ::_exit(1);
    }
    log_to_syslog();
    let_go();
    (*session)->confine();
    const auto announce_and_serve = [&](fuse::Session& live) {
      tell(parent.get(), std::string(1, kLive));
      parent.reset();
      return serve(live);
    };
    // Who is told that the mount is live may send a signal at once.
    if (const auto served = serve_here(**session, announce_and_serve)) {
      status = 0;
    } else {
      spdlog::error("{}", served.error().sentence);
    }
  }
  // What the parent process registered to run at exit is not ours to run.
  ::_exit(status);
}

std::string read_all(int fd) {
  std::string all;
  std::array<char, 512> chunk{};
  for (;;) {
    const ssize_t got = ::read(fd, chunk.data(), chunk.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return all;
    all.append(chunk.data(), static_cast<std::size_t>(got));
  }
}

Outcome<void> await_child(pid_t child, int fd) {
  const std::string answer = read_all(fd);
  if (!answer.empty() && answer.front() == kLive) return {};
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (answer.empty()) {
    const std::string how = WIFSIGNALED(status) ? fmt::format("signal {}", WTERMSIG(status))
                                                : fmt::format("status {}", WEXITSTATUS(status));
    return refuse(fmt::format("the daemon ended before the mount was live ({})", how), ECHILD);
  }
  const std::size_t line = answer.find('\n');
  return refuse(answer.substr(line + 1), std::stoi(answer.substr(1, line - 1)));
}

Outcome<void> run_in_background(const Start& start, const Serve& serve) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return refuse("no pipe", Errno::last());
  sys::UniqueFd ours(ends[0]);
  sys::UniqueFd theirs(ends[1]);
  const pid_t child = ::fork();
  if (child < 0) return refuse("no process can be started", Errno::last());
  if (child == 0) {
    ours.reset();
    run_child(start, serve, std::move(theirs));
  }
  theirs.reset();
  return await_child(child, ours.get());
}

}  // namespace

Outcome<void> run_session(const Start& start, const Serve& serve, bool foreground) {
  return foreground ? run_in_foreground(start, serve) : run_in_background(start, serve);
}

}  // namespace layerfs::tools
