// Preloaded into a daemon: fails its nth call to the file systems below, or ends it there. Reading
// and writing of /dev/fuse go through read(2) and writev(2), which are left alone.
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdarg>
#include <cstdlib>
#include <cstring>

#include "tests/crash/control.h"

namespace {

using layerfs::test::FaultControl;

FaultControl* control() {
  static FaultControl* const mapped = []() -> FaultControl* {
    const char* path = std::getenv(layerfs::test::kControlVariable);
    const long fd =
        path == nullptr ? -1 : ::syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC);
    if (fd < 0) return nullptr;
    void* memory = ::mmap(nullptr, sizeof(FaultControl), PROT_READ | PROT_WRITE, MAP_SHARED,
                          static_cast<int>(fd), 0);
    return memory == MAP_FAILED ? nullptr : static_cast<FaultControl*>(memory);
  }();
  return mapped;
}

// True if this call is to fail, with errno set.
bool fails(const char* call) {
  FaultControl* faults = control();
  if (faults == nullptr || faults->armed.load() == 0) return false;
  if (std::strcmp(call, "syncfs") == 0) faults->syncs.fetch_add(1);
  if (faults->seen.fetch_add(1) + 1 != faults->target.load()) return false;
  std::strncpy(faults->call, call, sizeof faults->call - 1);
  faults->fired.store(1);
  if (faults->action.load() == layerfs::test::kKill) ::kill(::getpid(), SIGKILL);
  errno = faults->action.load();
  return true;
}

template <typename Function>
Function next(const char* name) {
  return reinterpret_cast<Function>(::dlsym(RTLD_NEXT, name));
}

}  // namespace

// The declarations of the C library have attributes of their own (nonnull, warn_unused_result),
// which a definition may repeat or not.
#pragma GCC diagnostic ignored "-Wnonnull-compare"

#define FAULTY(result, name, parameters, arguments)             \
  extern "C" result name parameters {                           \
    if (fails(#name)) return static_cast<result>(-1);           \
    static const auto real = next<result(*) parameters>(#name); \
    return real arguments;                                      \
  }

FAULTY(int, mkdirat, (int dir, const char* name, mode_t mode), (dir, name, mode))
FAULTY(int, mknodat, (int dir, const char* name, mode_t mode, dev_t dev), (dir, name, mode, dev))
FAULTY(int, symlinkat, (const char* target, int dir, const char* name), (target, dir, name))
FAULTY(int, linkat, (int from, const char* old, int to, const char* name, int flags),
       (from, old, to, name, flags))
FAULTY(int, unlinkat, (int dir, const char* name, int flags), (dir, name, flags))
FAULTY(int, renameat2, (int from, const char* old, int to, const char* name, unsigned flags),
       (from, old, to, name, flags))
FAULTY(int, renameat, (int from, const char* old, int to, const char* name), (from, old, to, name))
FAULTY(int, rename, (const char* old, const char* name), (old, name))
FAULTY(int, mkdir, (const char* path, mode_t mode), (path, mode))
FAULTY(int, rmdir, (const char* path), (path))
FAULTY(int, unlink, (const char* path), (path))
FAULTY(int, syncfs, (int fd), (fd))
FAULTY(int, fchownat, (int dir, const char* name, uid_t uid, gid_t gid, int flags),
       (dir, name, uid, gid, flags))
FAULTY(int, chmod, (const char* path, mode_t mode), (path, mode))
FAULTY(int, utimensat, (int dir, const char* name, const timespec* times, int flags),
       (dir, name, times, flags))
FAULTY(int, truncate64, (const char* path, off64_t size), (path, size))
FAULTY(int, ftruncate64, (int fd, off64_t size), (fd, size))
FAULTY(ssize_t, pwrite64, (int fd, const void* data, size_t size, off64_t at), (fd, data, size, at))
FAULTY(ssize_t, pread64, (int fd, void* data, size_t size, off64_t at), (fd, data, size, at))
FAULTY(ssize_t, copy_file_range,
       (int from, off64_t* in, int to, off64_t* out, size_t size, unsigned flags),
       (from, in, to, out, size, flags))
FAULTY(int, fallocate64, (int fd, int mode, off64_t at, off64_t size), (fd, mode, at, size))
FAULTY(off64_t, lseek64, (int fd, off64_t at, int whence), (fd, at, whence))
FAULTY(int, fsync, (int fd), (fd))
FAULTY(int, fdatasync, (int fd), (fd))
FAULTY(int, sync_file_range, (int fd, off64_t at, off64_t size, unsigned flags),
       (fd, at, size, flags))
FAULTY(int, fstat64, (int fd, struct stat64* st), (fd, st))
FAULTY(int, fstatat64, (int dir, const char* name, struct stat64* st, int flags),
       (dir, name, st, flags))
FAULTY(int, statx, (int dir, const char* name, int flags, unsigned mask, struct statx* st),
       (dir, name, flags, mask, st))
FAULTY(ssize_t, readlinkat, (int dir, const char* name, char* text, size_t size),
       (dir, name, text, size))
FAULTY(ssize_t, getxattr, (const char* path, const char* name, void* value, size_t size),
       (path, name, value, size))
FAULTY(ssize_t, lgetxattr, (const char* path, const char* name, void* value, size_t size),
       (path, name, value, size))
FAULTY(ssize_t, listxattr, (const char* path, char* list, size_t size), (path, list, size))
FAULTY(ssize_t, llistxattr, (const char* path, char* list, size_t size), (path, list, size))
FAULTY(int, setxattr,
       (const char* path, const char* name, const void* value, size_t size, int flags),
       (path, name, value, size, flags))
FAULTY(int, lsetxattr,
       (const char* path, const char* name, const void* value, size_t size, int flags),
       (path, name, value, size, flags))
FAULTY(ssize_t, fgetxattr, (int fd, const char* name, void* value, size_t size),
       (fd, name, value, size))
FAULTY(ssize_t, flistxattr, (int fd, char* list, size_t size), (fd, list, size))
FAULTY(int, fsetxattr, (int fd, const char* name, const void* value, size_t size, int flags),
       (fd, name, value, size, flags))
FAULTY(int, fremovexattr, (int fd, const char* name), (fd, name))
FAULTY(int, fchmod, (int fd, mode_t mode), (fd, mode))
FAULTY(int, fchmodat, (int dir, const char* name, mode_t mode, int flags), (dir, name, mode, flags))
FAULTY(int, removexattr, (const char* path, const char* name), (path, name))
FAULTY(int, lremovexattr, (const char* path, const char* name), (path, name))

// As _FORTIFY_SOURCE has them called.
FAULTY(ssize_t, __pread64_chk, (int fd, void* data, size_t size, off64_t at, size_t room),
       (fd, data, size, at, room))
FAULTY(ssize_t, __readlinkat_chk, (int dir, const char* name, char* text, size_t size, size_t room),
       (dir, name, text, size, room))

extern "C" int openat64(int dir, const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = (flags & (O_CREAT | __O_TMPFILE)) != 0 ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  if (fails("openat")) return -1;
  return static_cast<int>(::syscall(SYS_openat, dir, path, flags, mode));
}

extern "C" int open64(const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = (flags & (O_CREAT | __O_TMPFILE)) != 0 ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  if (std::strncmp(path, "/proc/self/fd/", 14) == 0 && fails("open")) return -1;
  return static_cast<int>(::syscall(SYS_openat, AT_FDCWD, path, flags, mode));
}

extern "C" int __openat64_2(int dir, const char* path, int flags) {
  return ::openat64(dir, path, flags);
}

extern "C" int __open64_2(const char* path, int flags) { return ::open64(path, flags); }

// Of files only: sockets and the like are not what is tested.
extern "C" ssize_t write(int fd, const void* data, size_t size) {
  struct stat status = {};
  FaultControl* faults = control();
  if (faults != nullptr && faults->armed.load() != 0 && ::syscall(SYS_fstat, fd, &status) == 0 &&
      S_ISREG(status.st_mode) && fails("write")) {
    return -1;
  }
  static const auto real = next<ssize_t (*)(int, const void*, size_t)>("write");
  return real(fd, data, size);
}

// For FICLONE only: the others are libfuse's and the kernel's registry of passthrough files.
extern "C" int ioctl(int fd, unsigned long request, ...) {
  va_list rest;
  va_start(rest, request);
  void* const argument = va_arg(rest, void*);
  va_end(rest);
  if (request == FICLONE && fails("ioctl FICLONE")) return -1;
  static const auto real = next<int (*)(int, unsigned long, ...)>("ioctl");
  return real(fd, request, argument);
}

extern "C" long syscall(long number, ...) {
  va_list rest;
  va_start(rest, number);
  long a[6];
  for (long& each : a) each = va_arg(rest, long);
  va_end(rest);
  if (number == SYS_openat2 && fails("openat2")) return -1;
  if (number == SYS_getdents64 && fails("getdents64")) return -1;
  // setxattrat, getxattrat, listxattrat, removexattrat
  if (number >= 463 && number <= 466 && fails("xattr of an entry")) return -1;
  static const auto real = next<long (*)(long, ...)>("syscall");
  return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
