// Operations on names.
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "tests/oracle/runner.h"
#include "tests/oracle/text.h"

namespace layerfs::oracle {

std::string Runner::mkdir(const Op& op) {
  return outcome(::mkdir(op.path.c_str(), static_cast<mode_t>(op.mode)));
}

std::string Runner::rmdir(const Op& op) { return outcome(::rmdir(op.path.c_str())); }

std::string Runner::unlink(const Op& op) { return outcome(::unlink(op.path.c_str())); }

std::string Runner::rename(const Op& op) {
  return outcome(::renameat2(AT_FDCWD, op.path.c_str(), AT_FDCWD, op.path2.c_str(),
                             static_cast<unsigned>(op.flags)));
}

std::string Runner::link(const Op& op) {
  return outcome(
      ::linkat(AT_FDCWD, op.path.c_str(), AT_FDCWD, op.path2.c_str(), static_cast<int>(op.flags)));
}

std::string Runner::link_fd(const Op& op) {
  const int source = slot(op.slot);
  if (source < 0) return "EBADF";
  return outcome(::linkat(proc_.get(), std::to_string(source).c_str(), AT_FDCWD, op.path2.c_str(),
                          AT_SYMLINK_FOLLOW));
}

std::string Runner::symlink(const Op& op) {
  return outcome(::symlink(op.value.c_str(), op.path.c_str()));
}

std::string Runner::readlink(const Op& op) {
  char buffer[PATH_MAX + 1];
  const ssize_t size = ::readlink(op.path.c_str(), buffer, sizeof buffer);
  if (size < 0) return errno_name(errno);
  return "ok target=" + quote({buffer, static_cast<size_t>(size)});
}

std::string Runner::mknod(const Op& op) {
  return outcome(
      ::mknod(op.path.c_str(), static_cast<mode_t>(op.mode), static_cast<dev_t>(op.off)));
}

}  // namespace layerfs::oracle
