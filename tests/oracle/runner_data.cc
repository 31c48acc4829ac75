// Operations on the bytes of files.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>

#include <fmt/format.h>

#include "tests/oracle/case.h"
#include "tests/oracle/runner.h"
#include "tests/oracle/text.h"

namespace layerfs::oracle {
namespace {

constexpr int64_t kReadLimit = 1 << 20;  // devices have no end

std::string describe_bytes(std::string_view bytes) {
  return fmt::format("ok n={} data={:016x}", bytes.size(), digest(bytes));
}

// Maps the first `len` bytes of a regular file; MAP_FAILED with errno, or nullptr for an empty one.
void* map_shared(int fd, int protection, int64_t& len) {
  struct stat st = {};
  if (::fstat(fd, &st) != 0) return MAP_FAILED;
  // A fault beyond the end would be a signal, on every file system.
  if (S_ISREG(st.st_mode) && st.st_size == 0) return nullptr;
  len = S_ISREG(st.st_mode) ? std::min<int64_t>(st.st_size, kReadLimit) : 4096;
  return ::mmap(nullptr, static_cast<size_t>(len), protection, MAP_SHARED, fd, 0);
}

}  // namespace

std::string Runner::read(const Op& op) {
  std::string bytes(static_cast<size_t>(std::clamp<int64_t>(op.len, 0, kReadLimit)), '\0');
  const ssize_t got = ::pread(slot(op.slot), bytes.data(), bytes.size(), op.off);
  if (got < 0) return errno_name(errno);
  return describe_bytes(std::string_view(bytes).substr(0, static_cast<size_t>(got)));
}

std::string Runner::write(const Op& op) {
  const std::string bytes = pattern(op.fill, op.off, op.len);
  return outcome(::pwrite(slot(op.slot), bytes.data(), bytes.size(), op.off), "n");
}

std::string Runner::map_read(const Op& op) {
  int64_t len = 0;
  void* map = map_shared(slot(op.slot), PROT_READ, len);
  if (map == MAP_FAILED) return errno_name(errno);
  if (map == nullptr) return "empty";
  const auto size = static_cast<size_t>(len);
  // Copied by the kernel, for which a page that cannot be had is an error and no signal.
  const sys::UniqueFd copy(::memfd_create("map", MFD_CLOEXEC));
  const ssize_t copied = ::write(copy.get(), map, size);
  ::munmap(map, size);
  std::string mapped(size, '\0');
  std::string read(size, '\0');
  if (::pread(slot(op.slot), read.data(), size, 0) != len) return "a file that shrinks";
  if (copied == len && ::pread(copy.get(), mapped.data(), size, 0) == len && mapped == read)
    return describe_bytes(read);
  return describe_bytes(read) + " mapping=differs";
}

std::string Runner::map_write(const Op& op) {
  int64_t len = 0;
  void* map = map_shared(slot(op.slot), PROT_READ | PROT_WRITE, len);
  if (map == MAP_FAILED) return errno_name(errno);
  if (map == nullptr) return "empty";
  const int64_t off = std::min(op.off, len);
  const std::string bytes = pattern(op.fill, off, std::min(op.len, len - off));
  std::copy(bytes.begin(), bytes.end(), static_cast<char*>(map) + off);
  const std::string result = outcome(::msync(map, static_cast<size_t>(len), MS_SYNC));
  ::munmap(map, static_cast<size_t>(len));
  return result;
}

std::string Runner::ftruncate(const Op& op) { return outcome(::ftruncate(slot(op.slot), op.len)); }

std::string Runner::fallocate(const Op& op) {
  return outcome(::fallocate(slot(op.slot), static_cast<int>(op.flags), op.off, op.len));
}

std::string Runner::copy_range(const Op& op) {
  off_t from = op.off2;
  off_t to = op.off;
  return outcome(
      ::copy_file_range(slot(op.slot2), &from, slot(op.slot), &to, static_cast<size_t>(op.len), 0),
      "n");
}

std::string Runner::seek(const Op& op) {
  return outcome(::lseek(slot(op.slot), op.off, static_cast<int>(op.flags)), "at");
}

std::string Runner::fsync(const Op& op) { return outcome(::fsync(slot(op.slot))); }

std::string Runner::slurp(const Op& op) {
  const sys::UniqueFd fd(::open(op.path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  if (!fd) return errno_name(errno);
  std::string bytes;
  char buffer[65536];
  while (bytes.size() < kReadLimit) {
    const ssize_t got = ::read(fd.get(), buffer, sizeof buffer);
    if (got < 0) return errno_name(errno);
    if (got == 0) break;
    bytes.append(buffer, static_cast<size_t>(got));
  }
  return describe_bytes(bytes);
}

std::string Runner::poke(const Op& op) {
  const int flags = static_cast<int>(op.flags) | O_NONBLOCK | O_CLOEXEC;
  const sys::UniqueFd fd(::open(op.path.c_str(), flags, static_cast<mode_t>(op.mode)));
  if (!fd) return errno_name(errno);
  const std::string bytes = pattern(op.fill, op.off, op.len);
  return outcome(::pwrite(fd.get(), bytes.data(), bytes.size(), op.off), "n");
}

std::string Runner::truncate(const Op& op) { return outcome(::truncate(op.path.c_str(), op.len)); }

}  // namespace layerfs::oracle
