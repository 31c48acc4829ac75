#include "snapshotter/live_mounts.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "fs/sys/file.h"
#include "fs/sys/trusted_dir.h"
#include "fs/sys/unique_fd.h"
#include "layerstore/file_util.h"

namespace layerfs::snapshotter {

namespace {

constexpr const char* kBase = "containerd/mounts";
constexpr long kFuseMagic = 0x65735546;  // linux/magic.h, FUSE_SUPER_MAGIC

enum class State { kAbsent, kDead, kLive };

State state_of(const std::string& path) {
  struct statfs status;
  // Of a dead daemon's mount: ENOTCONN, or, while it is dying, ECONNABORTED.
  if (::statfs(path.c_str(), &status) != 0) return errno == ENOENT ? State::kAbsent : State::kDead;
  return status.f_type == kFuseMagic ? State::kLive : State::kAbsent;
}

std::string read_to_end(int fd) {
  std::string text;
  std::array<char, 4096> piece{};
  while (true) {
    const ssize_t got = ::read(fd, piece.data(), piece.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return text;
    text.append(piece.data(), static_cast<std::size_t>(got));
  }
}

// Runs it to its end. Refuses with what it said if it fails.
Outcome<void> run_program(std::vector<std::string> words) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return refuse("no pipe", Errno::last());
  const sys::UniqueFd ours(ends[0]);
  sys::UniqueFd theirs(ends[1]);
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  ::posix_spawn_file_actions_adddup2(&actions, theirs.get(), STDERR_FILENO);
  pid_t child = 0;
  const int error = ::posix_spawnp(&child, argv[0], &actions, nullptr, argv.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  theirs.reset();
  if (error != 0) return refuse("cannot start '" + words[0] + "'", Errno(error));
  const std::string said = read_to_end(ours.get());
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  return refuse("'" + words[0] + "' failed: " + said);
}

}  // namespace

Answer<LiveMounts> LiveMounts::open(const store::StoreDir& store, std::string program) {
  if (const Result<void> made = store::make_dir(store.fd(), kBase, 0700); !made) {
    return store::refuse_entry("cannot make '" + store.path(kBase) + "'", made.error());
  }
  Result<sys::UniqueFd> fd = store::open_dir(store.fd(), kBase);
  if (!fd) return store::refuse_entry("cannot open '" + store.path(kBase) + "'", fd.error());
  LAYERFS_TRY(sys::check_trusted(fd->get(), store.path(kBase)));
  return LiveMounts(std::move(*fd), store.path(kBase), std::move(program));
}

Answer<std::string> LiveMounts::ensure(std::int64_t id, const MountPlan& plan) const {
  const std::string point = path(id);
  const State state = state_of(point);
  if (state == State::kLive) return point;
  if (state == State::kDead) LAYERFS_TRY(drop(id));
  if (const Result<void> made = store::make_dir(fd_.get(), std::to_string(id), 0700); !made) {
    return refuse("cannot make '" + point + "'", made.error());
  }
  const std::string options = fmt::format("{}", fmt::join(layerfs_options(plan), ","));
  if (const Outcome<void> done =
          run_program({program_, "mount", "-o", options + ",dev,suid", point});
      !done) {
    static_cast<void>(remove_point(id));
    return tl::make_unexpected(done.error());
  }
  return point;
}

Answer<void> LiveMounts::drop(std::int64_t id) const {
  const std::string point = path(id);
  {
    const Result<sys::UniqueFd> root = store::open_dir(fd_.get(), std::to_string(id));
    if (root && state_of(point) == State::kLive && ::syncfs(root->get()) != 0) {
      return refuse("cannot write '" + point + "' to disk", Errno::last());
    }
  }
  // Whoever has files open there goes on until they are closed.
  while (state_of(point) != State::kAbsent) {
    if (::umount2(point.c_str(), UMOUNT_NOFOLLOW) != 0 &&
        ::umount2(point.c_str(), UMOUNT_NOFOLLOW | MNT_DETACH) != 0) {
      return refuse("cannot unmount '" + point + "'", Errno::last());
    }
  }
  return remove_point(id);
}

Answer<void> LiveMounts::remove_point(std::int64_t id) const {
  const Result<void> removed = sys::remove_dir(fd_.get(), std::to_string(id).c_str());
  if (removed || removed.error().code() == ENOENT) return {};
  return refuse("cannot remove '" + path(id) + "'", removed.error());
}

Answer<void> LiveMounts::keep_only(const std::vector<std::int64_t>& ids) const {
  const std::set<std::int64_t> kept(ids.begin(), ids.end());
  const Result<std::vector<std::string>> names = store::list_dir(fd_.get(), ".");
  if (!names) return refuse("cannot list '" + base_ + "'", names.error());
  for (const std::string& name : *names) {
    std::int64_t id = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), id);
    if (error != std::errc() || end != name.data() + name.size() || kept.contains(id)) continue;
    LAYERFS_TRY(drop(id));
  }
  return {};
}

}  // namespace layerfs::snapshotter
