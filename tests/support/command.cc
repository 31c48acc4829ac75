#include "tests/support/command.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <system_error>

#include "fs/sys/unique_fd.h"

namespace layerfs::test {
namespace {

using sys::UniqueFd;
using Clock = std::chrono::steady_clock;

struct Pipe {
  UniqueFd reader;
  UniqueFd writer;

  Pipe() {
    std::array<int, 2> ends{};
    if (pipe2(ends.data(), O_CLOEXEC) != 0)
      throw std::runtime_error(std::generic_category().message(errno));
    reader = UniqueFd(ends[0]);
    writer = UniqueFd(ends[1]);
  }
};

// In the child, after fork: only calls that are safe there.
[[noreturn]] void become(const std::vector<std::string>& argv, const RunOptions& options,
                         const Pipe& in, const Pipe& out, const Pipe& err) {
  setpgid(0, 0);
  dup2(in.reader.get(), STDIN_FILENO);
  dup2(out.writer.get(), STDOUT_FILENO);
  dup2(err.writer.get(), STDERR_FILENO);
  if (!options.directory.empty() && chdir(options.directory.c_str()) != 0) _exit(126);
  for (const auto& setting : options.environment) putenv(const_cast<char*>(setting.c_str()));
  std::vector<char*> args;
  for (const auto& arg : argv) args.push_back(const_cast<char*>(arg.c_str()));
  args.push_back(nullptr);
  execvp(args[0], args.data());
  dprintf(STDERR_FILENO, "%s: %s\n", args[0], strerror(errno));
  _exit(127);
}

// Feeds and drains one child until its outputs are closed or the time is over.
class Exchange {
 public:
  Exchange(const std::string& input, Pipe& in, Pipe& out, Pipe& err)
      : input_(input), in_(in.writer), out_(out.reader), err_(err.reader) {
    fcntl(in_.get(), F_SETFL, O_NONBLOCK);
    if (input_.empty()) in_.reset();
  }

  // False if `deadline` passed first.
  bool finish(Clock::time_point deadline, Ran& ran) {
    while (out_ || err_) {
      const auto left =
          std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
      if (left <= 0) return false;
      std::array<pollfd, 3> polled{pollfd{in_.get(), POLLOUT, 0}, pollfd{out_.get(), POLLIN, 0},
                                   pollfd{err_.get(), POLLIN, 0}};
      if (poll(polled.data(), polled.size(), static_cast<int>(left)) < 0 && errno != EINTR)
        return false;
      if (in_ && polled[0].revents) feed();
      if (out_ && polled[1].revents) drain(out_, ran.out);
      if (err_ && polled[2].revents) drain(err_, ran.err);
    }
    return true;
  }

 private:
  void feed() {
    const ssize_t n = write(in_.get(), input_.data() + fed_, input_.size() - fed_);
    if (n > 0) fed_ += static_cast<size_t>(n);
    // A reader that has gone away wants no more; that is its business.
    if (fed_ == input_.size() || (n < 0 && errno != EAGAIN)) in_.reset();
  }

  static void drain(UniqueFd& from, std::string& to) {
    std::array<char, 65536> buffer;
    const ssize_t n = read(from.get(), buffer.data(), buffer.size());
    if (n > 0)
      to.append(buffer.data(), static_cast<size_t>(n));
    else if (n == 0 || errno != EINTR)
      from.reset();
  }

  const std::string& input_;
  size_t fed_ = 0;
  UniqueFd& in_;
  UniqueFd& out_;
  UniqueFd& err_;
};

}  // namespace

Ran run(const std::vector<std::string>& argv, const RunOptions& options) {
  signal(SIGPIPE, SIG_IGN);
  Pipe in, out, err;
  const pid_t child = fork();
  if (child < 0) throw std::runtime_error(std::generic_category().message(errno));
  if (child == 0) {
    signal(SIGPIPE, SIG_DFL);
    become(argv, options, in, out, err);
  }
  setpgid(child, child);
  in.reader.reset();
  out.writer.reset();
  err.writer.reset();

  Ran ran;
  const auto deadline = Clock::now() + std::chrono::seconds(options.timeout_seconds);
  if (!Exchange(options.input, in, out, err).finish(deadline, ran)) {
    ran.err += "\n(timed out: " + argv[0] + ")\n";
    kill(-child, SIGKILL);
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  ran.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return ran;
}

Ran shell(const std::string& script, const RunOptions& options) {
  return run({"/bin/sh", "-e", "-c", script}, options);
}

std::string layerfs_program() { return LAYERFS_PROGRAM; }

}  // namespace layerfs::test
