#include "tests/support/idmapped.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>

#include "fs/sys/unique_fd.h"

namespace layerfs::test {
namespace {

bool write_to(const std::string& path, const std::string& text) {
  const sys::UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  return fd && ::write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

// A user namespace with the map; empty if there cannot be one.
sys::UniqueFd user_namespace(const std::string& map) {
  int ready[2];
  if (::pipe(ready) != 0) return {};
  const pid_t child = ::fork();
  if (child == 0) {
    const char done = ::unshare(CLONE_NEWUSER) == 0 ? 'y' : 'n';
    if (::write(ready[1], &done, 1) == 1) ::pause();
    ::_exit(0);
  }
  char made = 'n';
  sys::UniqueFd space;
  const std::string process = "/proc/" + std::to_string(child);
  if (child > 0 && ::read(ready[0], &made, 1) == 1 && made == 'y' &&
      write_to(process + "/uid_map", map) && write_to(process + "/gid_map", map)) {
    space = sys::UniqueFd(::open((process + "/ns/user").c_str(), O_RDONLY | O_CLOEXEC));
  }
  ::close(ready[0]);
  ::close(ready[1]);
  if (child > 0) {
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
  }
  return space;
}

}  // namespace

bool idmapped_bind(const std::string& from, const std::string& to, const std::string& map) {
  const sys::UniqueFd space = user_namespace(map);
  const sys::UniqueFd tree(static_cast<int>(
      ::syscall(SYS_open_tree, AT_FDCWD, from.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC)));
  if (!space || !tree) return false;
  mount_attr attr = {};
  attr.attr_set = MOUNT_ATTR_IDMAP;
  attr.userns_fd = static_cast<std::uint64_t>(space.get());
  return ::syscall(SYS_mount_setattr, tree.get(), "", AT_EMPTY_PATH, &attr, sizeof attr) == 0 &&
         ::syscall(SYS_move_mount, tree.get(), "", AT_FDCWD, to.c_str(), MOVE_MOUNT_F_EMPTY_PATH) ==
             0;
}

}  // namespace layerfs::test
