#include "fs/fuse/fusermount.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "fs/fuse/signals.h"

namespace layerfs::fuse {

namespace {

// The Unmounter's end of the line to it, in its process.
constexpr int kUnmounterLine = 3;

// What a helper program said before it ended, and how it ended.
struct Helper {
  int status = -1;  // exit status, or -1 if it could not run or was killed
  std::string said;
};

// Reads until the other side closes, and not for ever: a helper's own children may hold it open.
std::string read_all(int fd) {
  std::string all;
  std::array<char, 512> chunk{};
  pollfd waiting = {.fd = fd, .events = POLLIN, .revents = 0};
  while (::poll(&waiting, 1, 10000) > 0) {
    const ssize_t got = ::read(fd, chunk.data(), chunk.size());
    if (got <= 0) break;
    all.append(chunk.data(), static_cast<std::size_t>(got));
  }
  while (!all.empty() && all.back() == '\n') all.pop_back();
  return all;
}

// Runs fusermount3 with these arguments. `channel`, if not negative, stays open in it under the
// number that _FUSE_COMMFD names.
Helper run_fusermount(std::vector<std::string> arguments, int channel) {
  std::array<int, 2> pipe_ends{};
  if (::pipe2(pipe_ends.data(), O_CLOEXEC) != 0)
    return {.status = -1, .said = std::strerror(errno)};
  sys::UniqueFd reader(pipe_ends[0]);
  sys::UniqueFd writer(pipe_ends[1]);

  arguments.insert(arguments.begin(), "fusermount3");
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  std::string channel_variable = fmt::format("_FUSE_COMMFD={}", channel);
  std::vector<char*> environment;
  for (char** variable = environ; *variable != nullptr; ++variable)
    environment.push_back(*variable);
  if (channel >= 0) environment.push_back(channel_variable.data());
  environment.push_back(nullptr);

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, writer.get(), STDERR_FILENO);
  // Onto itself: takes close-on-exec away.
  if (channel >= 0) posix_spawn_file_actions_adddup2(&actions, channel, channel);
  pid_t pid = -1;
  const int error =
      ::posix_spawnp(&pid, "fusermount3", &actions, nullptr, argv.data(), environment.data());
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) {
    return {.status = -1,
            .said = fmt::format("fusermount3 does not run: {}", std::strerror(error))};
  }
  writer.reset();

  Helper helper{.status = -1, .said = read_all(reader.get())};
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status)) helper.status = WEXITSTATUS(status);
  return helper;
}

// The descriptor that fusermount3 sends over its channel.
sys::UniqueFd receive_descriptor(int channel) {
  char byte = 0;
  iovec data = {.iov_base = &byte, .iov_len = 1};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr message = {};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  if (::recvmsg(channel, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT) <= 0) return {};
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (header == nullptr || header->cmsg_type != SCM_RIGHTS) return {};
  int fd = -1;
  std::memcpy(&fd, CMSG_DATA(header), sizeof fd);
  return sys::UniqueFd(fd);
}

// fusermount3 reads a comma and a backslash in a value as part of the option list.
std::string escaped(std::string_view value) {
  std::string out;
  for (const char c : value) {
    if (c == ',' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

// What the Unmounter is told: one letter for each call. It answers with what fusermount3 said, and
// its exit status behind a NUL.
constexpr char kNowLetter = 'n';
constexpr char kLazyLetter = 'z';

std::vector<std::string> unmount_arguments(const std::string& mountpoint, Unmount how) {
  std::vector<std::string> arguments = {"-u", "--", mountpoint};
  if (how == Unmount::kLazy) arguments.insert(arguments.begin() + 1, "-z");
  return arguments;
}

// The Unmounter's process ignores what its daemon is asked to end with, since it is asked last.
[[noreturn]] void wait_for_orders(int line, const std::string& mountpoint) {
  ::setsid();
  sys::block_signals();
  // Nobody may wait for what this process holds. What fusermount3 says goes over the pipe.
  const int null = ::open("/dev/null", O_RDWR);
  for (const int standard : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) ::dup2(null, standard);
  ::dup2(line, kUnmounterLine);
  ::close_range(kUnmounterLine + 1, ~0U, 0);
  ::fcntl(kUnmounterLine, F_SETFD, FD_CLOEXEC);
  if (::chdir("/") != 0) ::_exit(1);
  for (char letter = 0; ::read(kUnmounterLine, &letter, 1) == 1;) {
    const Unmount how = letter == kLazyLetter ? Unmount::kLazy : Unmount::kNow;
    Helper helper = run_fusermount(unmount_arguments(mountpoint, how), -1);
    helper.said.push_back('\0');
    helper.said.push_back(static_cast<char>(helper.status));
    if (::send(kUnmounterLine, helper.said.data(), helper.said.size(), MSG_NOSIGNAL) < 0) break;
  }
  ::_exit(0);
}

}  // namespace

Outcome<std::unique_ptr<Unmounter>> Unmounter::start(const std::string& mountpoint) {
  std::array<int, 2> ends{};
  // Messages, not a stream: an answer comes whole.
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0)
    return refuse("no socket for the process that unmounts", Errno::last());
  sys::UniqueFd ours(ends[0]);
  const sys::UniqueFd theirs(ends[1]);
  const pid_t pid = ::fork();
  if (pid < 0) return refuse("no process can be started", Errno::last());
  if (pid == 0) wait_for_orders(theirs.get(), mountpoint);
  return std::unique_ptr<Unmounter>(new Unmounter(mountpoint, pid, std::move(ours)));
}

Unmounter::~Unmounter() {
  line_.reset();
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

Outcome<void> Unmounter::unmount(Unmount how) {
  const char letter = how == Unmount::kLazy ? kLazyLetter : kNowLetter;
  std::array<char, 4096> answer{};
  ssize_t got = -1;
  if (::send(line_.get(), &letter, 1, MSG_NOSIGNAL) == 1) {
    while ((got = ::read(line_.get(), answer.data(), answer.size())) < 0 && errno == EINTR) {
    }
  }
  if (got < 2) {
    return refuse(
        fmt::format("{0} cannot be unmounted: the process that was to call fusermount3 is "
                    "gone; `fusermount3 -u {0}` unmounts it",
                    mountpoint_),
        EPERM);
  }
  const auto size = static_cast<std::size_t>(got);
  if (answer[size - 1] == 0) return {};
  return refuse(fmt::format("{} cannot be unmounted: {}", mountpoint_,
                            std::string_view(answer.data(), size - 2)),
                EPERM);
}

Outcome<Connection> mount_by_fusermount(const KernelMount& mount) {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    return refuse("no socket for fusermount3", Errno::last());
  }
  const sys::UniqueFd ours(ends[0]);
  const sys::UniqueFd theirs(ends[1]);
  std::string options =
      fmt::format("default_permissions,subtype={},fsname={}", kSubtype, escaped(mount.source));
  if (mount.allow_other) options += ",allow_other";
  if (mount.read_only) options += ",ro";
  for (const std::string& option : mount.options) options += "," + option;

  const Helper helper = run_fusermount({"-o", options, "--", mount.mountpoint}, theirs.get());
  sys::UniqueFd device = receive_descriptor(ours.get());
  if (helper.status != 0 || !device) {
    return refuse(fmt::format("{} cannot be mounted on without root: {}", mount.mountpoint,
                              helper.said.empty() ? "fusermount3 failed" : helper.said),
                  EPERM);
  }
  auto unmounter = Unmounter::start(mount.mountpoint);
  if (!unmounter) {
    static_cast<void>(unmount_by_fusermount(mount.mountpoint, Unmount::kLazy));
    return tl::make_unexpected(std::move(unmounter.error()));
  }
  return Connection{std::move(device), *std::move(unmounter)};
}

Outcome<void> unmount_by_fusermount(const std::string& mountpoint, Unmount how) {
  const Helper helper = run_fusermount(unmount_arguments(mountpoint, how), -1);
  if (helper.status == 0) return {};
  return refuse(fmt::format("{} cannot be unmounted: {}", mountpoint, helper.said), EPERM);
}

}  // namespace layerfs::fuse
