#include "tools/snapshotter/socket.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <thread>

#include <spdlog/spdlog.h>

#include "fs/sys/trusted_dir.h"

namespace layerfs::snapshotter {

namespace {

constexpr int kFirstPassed = 3;  // sd_listen_fds(3)
constexpr int kBacklog = 64;

Outcome<sockaddr_un> address_of(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return refuse("the path of the socket '" + path + "' is too long: at most " +
                      std::to_string(sizeof address.sun_path - 1) + " bytes",
                  ENAMETOOLONG);
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

Outcome<void> check_directory(const std::string& path) {
  std::error_code error;
  const std::filesystem::path directory =
      std::filesystem::absolute(path, error).lexically_normal().parent_path();
  const auto made = sys::make_trusted(directory, 0700);
  if (made) return {};
  return refuse("the socket cannot be made: " + made.error().sentence +
                    "; --address puts the socket elsewhere",
                made.error().code);
}

bool somebody_listens(const sockaddr_un& address) {
  const sys::UniqueFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return probe &&
         ::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

int passed_count() {
  const char* pid = std::getenv("LISTEN_PID");
  const char* count = std::getenv("LISTEN_FDS");
  if (!pid || !count || std::to_string(::getpid()) != pid) return 0;
  int number = 0;
  std::from_chars(count, count + std::strlen(count), number);
  return number;
}

bool is_allowed(int connection) {
  ucred peer = {};
  socklen_t size = sizeof peer;
  if (::getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return false;
  return peer.uid == 0 || peer.uid == ::geteuid();
}

}  // namespace

Outcome<sys::UniqueFd> listen_at(const std::string& path) {
  LAYERFS_TRY_ASSIGN(const sockaddr_un address, address_of(path));
  LAYERFS_TRY(check_directory(path));
  sys::UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return refuse("no socket", Errno::last());
  if (somebody_listens(address)) {
    return refuse("another process listens at '" + path + "'", EADDRINUSE);
  }
  struct stat status;
  if (::lstat(path.c_str(), &status) == 0 && S_ISSOCK(status.st_mode)) ::unlink(path.c_str());
  // Nobody else can come in between bind and chmod.
  const mode_t before = ::umask(0177);
  const int bound = ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  const Errno error = Errno::last();
  ::umask(before);
  if (bound != 0) return refuse("cannot make the socket '" + path + "'", error);
  if (::chmod(path.c_str(), 0600) != 0 || ::listen(fd.get(), kBacklog) != 0) {
    return refuse("cannot listen at '" + path + "'", Errno::last());
  }
  return fd;
}

Outcome<sys::UniqueFd> inherited_socket() {
  const int count = passed_count();
  ::unsetenv("LISTEN_PID");
  ::unsetenv("LISTEN_FDS");
  ::unsetenv("LISTEN_FDNAMES");
  if (count == 0) return sys::UniqueFd();
  if (count != 1) return refuse("the service manager passes more than one socket", EINVAL);
  sys::UniqueFd fd(kFirstPassed);
  int listens = 0;
  socklen_t size = sizeof listens;
  if (::getsockopt(fd.get(), SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) != 0 || !listens) {
    return refuse("what the service manager passes is no listening socket", EINVAL);
  }
  return fd;
}

Outcome<void> accept_until(int listening, int stop,
                           const std::function<void(sys::UniqueFd)>& serve) {
  std::array<pollfd, 2> waits = {pollfd{listening, POLLIN, 0}, pollfd{stop, POLLIN, 0}};
  while (true) {
    if (::poll(waits.data(), waits.size(), -1) < 0) {
      if (errno == EINTR) continue;
      return refuse("cannot wait for clients", Errno::last());
    }
    if (waits[1].revents != 0) return {};
    sys::UniqueFd connection(::accept4(listening, nullptr, nullptr, SOCK_CLOEXEC));
    if (!connection) {
      if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
      }
      continue;  // a client that has gone again, or none to be had now
    }
    if (is_allowed(connection.get())) {
      serve(std::move(connection));
    } else {
      spdlog::warn("a client of another user was turned away");
    }
  }
}

}  // namespace layerfs::snapshotter
