#include "fs/sys/file.h"

#include <linux/openat2.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>

#include <cstdio>

// Since Linux 6.6, with the same number on every architecture; not in the headers of older ones.
#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif

namespace layerfs::sys {
namespace {

Result<void> check(long status) {
  if (status < 0) return fail(Errno::last());
  return {};
}

Result<UniqueFd> own(long fd) {
  if (fd < 0) return fail(Errno::last());
  return UniqueFd(static_cast<int>(fd));
}

// No open waits: not for the other end of a FIFO, for a device, nor for who holds a lease.
int quiet(int flags) {
  // openat2(2) takes little else beside O_PATH, which opens nothing.
  if ((flags & O_PATH) != 0) return flags | O_CLOEXEC;
  return flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
}

// EAGAIN: a rename elsewhere raced with the walk (openat2(2)), or somebody holds a lease on the
// file, who has been told by now to give it back. Those are good for a moment; who keeps a lease
// for longer is not waited for.
constexpr int kTries = 100;
constexpr timespec kPause = {.tv_sec = 0, .tv_nsec = 2'000'000};

template <typename Open>
Result<UniqueFd> patiently(const Open& open) {
  for (int tries = 0;; ++tries) {
    const long fd = open();
    if (fd < 0 && errno == EINTR) continue;
    if (fd >= 0 || errno != EAGAIN || tries == kTries) return own(fd);
    ::nanosleep(&kPause, nullptr);
  }
}

// What was to be a file and is something else by now (EIO).
Result<UniqueFd> if_as_asked(Result<UniqueFd> opened, int flags) {
  constexpr int kCertain = O_PATH | O_DIRECTORY | O_EXCL;
  if (!opened || (flags & kCertain) != 0) return opened;
  struct stat st;
  LAYERFS_TRY(check(::fstat(opened->get(), &st)));
  if (!S_ISREG(st.st_mode)) return fail(EIO);
  return opened;
}

Result<UniqueFd> open_how_asked(int dirfd, const char* path, open_how& how) {
  const int flags = static_cast<int>(how.flags);
  how.flags = static_cast<__u64>(quiet(flags));
  return if_as_asked(
      patiently([&] { return ::syscall(SYS_openat2, dirfd, path, &how, sizeof how); }), flags);
}

Result<UniqueFd> open_plain(int dirfd, const char* path, int flags, mode_t mode) {
  return if_as_asked(patiently([&] { return ::openat(dirfd, path, quiet(flags), mode); }), flags);
}

}  // namespace

Result<UniqueFd> open_beneath(int dirfd, const char* path, int flags, mode_t mode) {
  if (*path == '\0') path = ".";
  open_how how = {};
  how.flags = static_cast<__u64>(flags);
  how.mode = (flags & (O_CREAT | __O_TMPFILE)) != 0 ? mode : 0;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  return open_how_asked(dirfd, path, how);
}

Result<UniqueFd> open_parent(int dirfd) {
  return open_plain(dirfd, "..", O_RDONLY | O_DIRECTORY, 0);
}

Result<UniqueFd> open_in_root(int dirfd, const char* path, int flags) {
  open_how how = {};
  how.flags = static_cast<__u64>(flags);
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  return open_how_asked(dirfd, path, how);
}

Result<UniqueFd> open_entry(int dirfd, const char* name) {
  return own(::openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC));
}

Result<UniqueFd> open_path(const char* path, int flags, mode_t mode) {
  return open_plain(AT_FDCWD, path, flags, mode);
}

Result<UniqueFd> reopen(int fd, int flags) {
  return open_plain(AT_FDCWD, fd_path(fd).c_str(), flags & ~O_NOFOLLOW, 0);
}

Result<UniqueFd> duplicate(int fd) { return own(::fcntl(fd, F_DUPFD_CLOEXEC, 0)); }

std::string fd_path(int fd) { return "/proc/self/fd/" + std::to_string(fd); }

std::string fd_path(int dirfd, const char* name) {
  std::string path = fd_path(dirfd);
  path += '/';
  path += name;
  return path;
}

Result<struct stat> stat_fd(int fd) {
  struct stat st;
  LAYERFS_TRY(check(::fstat(fd, &st)));
  return st;
}

Result<struct stat> stat_at(int dirfd, const char* name) {
  struct stat st;
  LAYERFS_TRY(check(::fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW)));
  return st;
}

Result<struct stat> stat_of(const At& at) {
  return at.is_entry() ? stat_at(at.fd, at.name) : stat_fd(at.fd);
}

Result<std::optional<timespec>> birth_time(const At& at) {
  struct statx st;
  LAYERFS_TRY(
      check(::statx(at.fd, at.name, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, STATX_BTIME, &st)));
  if ((st.stx_mask & STATX_BTIME) == 0) return std::nullopt;
  return timespec{.tv_sec = st.stx_btime.tv_sec, .tv_nsec = st.stx_btime.tv_nsec};
}

Result<bool> has_entry(int dirfd, const char* name) {
  const auto st = stat_at(dirfd, name);
  if (st) return true;
  if (st.error() == Errno(ENOENT) || st.error() == Errno(ENAMETOOLONG)) return false;
  return fail(st.error());
}

Result<std::string> readlink_at(int dirfd, const char* name) {
  // PATH_MAX bounds what symlink(2) accepts on every file system of Linux.
  char buffer[4096];
  ssize_t length = ::readlinkat(dirfd, name, buffer, sizeof buffer);
  if (length < 0) return fail(Errno::last());
  return std::string(buffer, static_cast<std::size_t>(length));
}

Result<void> make_dir(int dirfd, const char* name, mode_t mode) {
  return check(::mkdirat(dirfd, name, mode));
}

Result<void> make_node(int dirfd, const char* name, mode_t mode, dev_t rdev) {
  return check(::mknodat(dirfd, name, mode, rdev));
}

Result<void> make_symlink(const char* target, int dirfd, const char* name) {
  return check(::symlinkat(target, dirfd, name));
}

Result<void> link_fd(int fd, int dirfd, const char* name) {
  // Without CAP_DAC_READ_SEARCH that is ENOENT, and the way is longer (linkat(2)).
  if (::linkat(fd, "", dirfd, name, AT_EMPTY_PATH) == 0) return {};
  if (errno != ENOENT) return fail(Errno::last());
  return check(::linkat(AT_FDCWD, fd_path(fd).c_str(), dirfd, name, AT_SYMLINK_FOLLOW));
}

Result<void> link_at(int from_dirfd, const char* from, int to_dirfd, const char* to) {
  return check(::linkat(from_dirfd, from, to_dirfd, to, 0));
}

Result<void> unlink_at(int dirfd, const char* name) { return check(::unlinkat(dirfd, name, 0)); }

Result<void> remove_dir(int dirfd, const char* name) {
  return check(::unlinkat(dirfd, name, AT_REMOVEDIR));
}

Result<void> rename_at(int from_dirfd, const char* from, int to_dirfd, const char* to,
                       unsigned flags) {
  return check(::renameat2(from_dirfd, from, to_dirfd, to, flags));
}

namespace {

// Not a symlink's target, which somebody may have put there.
Result<void> chmod_entry(const At& at, mode_t mode) {
  if (::syscall(SYS_fchmodat2, at.fd, at.name, mode, AT_SYMLINK_NOFOLLOW) == 0) return {};
  // Before Linux 6.6, or where a filter of system calls has not heard of it.
  if (errno != ENOSYS && errno != EPERM) return fail(Errno::last());
  LAYERFS_TRY_ASSIGN(const UniqueFd entry, open_entry(at.fd, at.name));
  LAYERFS_TRY_ASSIGN(const struct stat st, stat_fd(entry.get()));
  if (S_ISLNK(st.st_mode)) return fail(EOPNOTSUPP);
  return check(::chmod(fd_path(entry.get()).c_str(), mode));
}

}  // namespace

Result<void> chmod_fd(int fd, mode_t mode) { return chmod_at(At(fd), mode); }

Result<void> chown_fd(int fd, uid_t uid, gid_t gid) { return chown_at(fd, "", uid, gid); }

Result<void> chown_at(int dirfd, const char* name, uid_t uid, gid_t gid) {
  return check(::fchownat(dirfd, name, uid, gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW));
}

Result<void> set_times(int fd, const timespec& atime, const timespec& mtime) {
  return set_times_at(fd, "", atime, mtime);
}

Result<void> set_times_at(int dirfd, const char* name, const timespec& atime,
                          const timespec& mtime) {
  const timespec times[2] = {atime, mtime};
  return check(::utimensat(dirfd, name, times, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW));
}

Result<void> chmod_at(const At& at, mode_t mode) {
  if (at.is_entry()) return chmod_entry(at, mode);
  if (::fchmod(at.fd, mode) == 0) return {};
  if (errno != EBADF) return fail(Errno::last());
  return check(::chmod(fd_path(at.fd).c_str(), mode));  // O_PATH
}

Result<void> truncate_at(const At& at, off_t size) {
  if (at.is_entry()) {
    // truncate(2) of the name would follow a symlink that somebody has put there. ftruncate(2) is
    // no way out: it changes the times even if it does not change the size.
    LAYERFS_TRY_ASSIGN(const UniqueFd entry, open_entry(at.fd, at.name));
    return check(::truncate(fd_path(entry.get()).c_str(), size));
  }
  if (::ftruncate(at.fd, size) == 0) return {};
  // O_PATH, or not open for writing.
  if (errno != EBADF && errno != EINVAL) return fail(Errno::last());
  return check(::truncate(fd_path(at.fd).c_str(), size));
}

Result<void> truncate_fd(int fd, off_t size) { return truncate_at(At(fd), size); }

Result<UniqueFd> open_tmpfile(int dirfd, mode_t mode) {
  return own(::openat(dirfd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, mode));
}

Result<void> lock_exclusive(int fd) { return check(::flock(fd, LOCK_EX | LOCK_NB)); }

Result<void> lock_shared(int fd) { return check(::flock(fd, LOCK_SH | LOCK_NB)); }

Result<std::size_t> read_at(int fd, std::span<std::byte> buffer, off_t offset) {
  std::size_t done = 0;
  while (done < buffer.size()) {
    ssize_t n =
        ::pread(fd, buffer.data() + done, buffer.size() - done, offset + static_cast<off_t>(done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && done == 0) return fail(Errno::last());
    if (n <= 0) break;
    done += static_cast<std::size_t>(n);
  }
  return done;
}

Result<std::optional<std::size_t>> read_cached_at(int fd, std::span<std::byte> buffer,
                                                  off_t offset) {
  std::size_t done = 0;
  while (done < buffer.size()) {
    const iovec into = {.iov_base = buffer.data() + done, .iov_len = buffer.size() - done};
    const ssize_t n = ::preadv2(fd, &into, 1, offset + static_cast<off_t>(done), RWF_NOWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return std::nullopt;
    if (n < 0 && errno == EOPNOTSUPP) return read_at(fd, buffer, offset);
    if (n < 0 && done == 0) return fail(Errno::last());
    if (n <= 0) break;
    done += static_cast<std::size_t>(n);
  }
  return done;
}

Result<std::size_t> write_at(int fd, std::span<const std::byte> data, off_t offset) {
  std::size_t done = 0;
  while (done < data.size()) {
    ssize_t n =
        ::pwrite(fd, data.data() + done, data.size() - done, offset + static_cast<off_t>(done));
    if (n < 0 && errno == EINTR) continue;
    // What was written before a full disk stopped it is the caller's to know.
    if (n < 0 && done > 0) break;
    if (n < 0) return fail(Errno::last());
    done += static_cast<std::size_t>(n);
  }
  return done;
}

}  // namespace layerfs::sys
