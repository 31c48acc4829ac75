// Ownership of file descriptors.
#pragma once

#include <unistd.h>

#include <utility>

namespace layerfs::sys {

// Owns one file descriptor and closes it once. An `int` parameter named fd or dirfd elsewhere only
// borrows. Not thread-safe by itself, like any value.
class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(other.release()) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) reset(other.release());
    return *this;
  }
  UniqueFd(const UniqueFd&) = delete;
  UniqueFd& operator=(const UniqueFd&) = delete;
  ~UniqueFd() { reset(); }

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }

  // Gives up ownership.
  int release() { return std::exchange(fd_, -1); }

  // close() reports write errors of some file systems; whoever needs to know calls fsync before.
  void reset(int fd = -1) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = fd;
  }

 private:
  int fd_ = -1;
};

}  // namespace layerfs::sys
