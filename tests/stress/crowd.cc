#include "tests/stress/crowd.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <memory>

namespace layerfs::test {
namespace {

constexpr std::int64_t kFiles = 8;
constexpr off_t kReach = 96 * 1024;

std::string fd_path(int fd) { return "/proc/self/fd/" + std::to_string(fd); }

std::string proc_path(int root, const std::string& path) { return fd_path(root) + "/" + path; }

// What a path walk or a change can meet when others change the same names. EINVAL: a directory into
// itself.
bool explained_by_a_race(int code) {
  static constexpr std::array kExplained = {ENOENT, EEXIST, ENOTDIR, EISDIR,  ENOTEMPTY, ELOOP,
                                            EINVAL, EMLINK, ENXIO,   ENODATA, ETXTBSY};
  return std::find(kExplained.begin(), kExplained.end(), code) != kExplained.end();
}

}  // namespace

bool Crowd::expect(const std::string& call, bool succeeded) {
  note(call, succeeded);
  if (!succeeded && !explained_by_a_race(errno))
    wrong(call + " fails with " + oracle::errno_name(errno));
  return succeeded;
}

std::string Crowd::any_dir() {
  const std::string shared = shared_dir(static_cast<std::uint64_t>(rng_.below(kSharedDirs)));
  switch (rng_.below(6)) {
    case 0:
      return ".";
    case 1:
      return shared + "/s" + std::to_string(rng_.below(2));
    case 2:
      return "m" + std::to_string(rng_.below(3));
    default:
      return shared;
  }
}

std::string Crowd::any_path() {
  const std::string dir = any_dir() + "/";
  switch (rng_.below(8)) {
    case 0:
      return dir + "m" + std::to_string(rng_.below(3));
    case 1:
      return dir + "s" + std::to_string(rng_.below(2));
    case 2:
      return dir + "h" + std::to_string(rng_.below(3));
    default:
      return dir + "f" + std::to_string(rng_.below(kFiles));
  }
}

sys::UniqueFd Crowd::any_open(int flags) {
  sys::UniqueFd fd(::openat(root_, any_path().c_str(), flags | O_CLOEXEC | O_NONBLOCK, 0644));
  expect("open", static_cast<bool>(fd));
  return fd;
}

void Crowd::create() {
  const sys::UniqueFd fd = any_open(O_CREAT | O_RDWR | (rng_.percent(50) ? O_EXCL : 0));
  if (fd) use_data(fd.get(), true);
}

void Crowd::open_and_use() {
  const int flags = rng_.pick({O_RDONLY, O_RDONLY, O_RDWR, O_WRONLY | O_APPEND, O_RDWR | O_TRUNC});
  const sys::UniqueFd fd = any_open(flags);
  if (!fd) return;
  use_data(fd.get(), (flags & O_ACCMODE) == O_RDWR);
  if (rng_.percent(50)) use_mapping(fd.get(), (flags & O_ACCMODE) == O_RDWR);
  if ((flags & O_ACCMODE) == O_RDWR) change_size(fd.get());
  attributes_by_descriptor();
}

void Crowd::use_data(int fd, bool writable) {
  struct stat st = {};
  expect("fstat", ::fstat(fd, &st) == 0);
  if (!S_ISREG(st.st_mode)) return;
  std::array<char, 6000> bytes{};
  const off_t at = rng_.below(kReach);
  if (writable) expect("pwrite", ::pwrite(fd, bytes.data(), bytes.size(), at) >= 0);
  if (writable || rng_.percent(50)) {
    // A descriptor open for writing only says EBADF.
    const ssize_t got = ::pread(fd, bytes.data(), bytes.size(), at);
    if (got >= 0 || errno != EBADF) expect("pread", got >= 0);
  }
  if (rng_.percent(10)) expect("fsync", ::fsync(fd) == 0);
  if (rng_.percent(20)) ::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
  if (rng_.percent(20)) expect("lseek", ::lseek(fd, 0, SEEK_DATA) >= 0);
}

void Crowd::use_mapping(int fd, bool writable) {
  struct stat st = {};
  if (::fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) return;
  const int protection = PROT_READ | (writable ? PROT_WRITE : 0);
  void* memory = ::mmap(nullptr, 4096, protection, MAP_SHARED, fd, 0);
  // EACCES: open for writing only.
  if (memory == MAP_FAILED) {
    if (errno != EACCES) expect("mmap", false);
    return;
  }
  note("mmap", true);
  // By a system call, for others truncate the file and a touch would be a SIGBUS.
  if (writable) {
    const sys::UniqueFd zero(::open("/dev/zero", O_RDONLY | O_CLOEXEC));
    note("store", ::read(zero.get(), memory, 4096) == 4096);
    expect("msync", ::msync(memory, 4096, MS_SYNC) == 0);
  }
  ::munmap(memory, 4096);
}

void Crowd::change_size(int fd) {
  struct stat st = {};
  if (::fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) return;
  switch (rng_.below(4)) {
    case 0:
      expect("ftruncate", ::ftruncate(fd, rng_.below(kReach)) == 0);
      break;
    case 1:
      expect("fallocate", ::fallocate(fd, 0, rng_.below(kReach), 5000) == 0 || errno == ENODEV);
      break;
    case 2:
      expect("punch", ::fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                  rng_.below(kReach), 9000) == 0 ||
                          errno == ENODEV);
      break;
    default:
      break;
  }
}

// Opens that cannot be repeated by a walk: ESTALE is their right answer where a program that is
// passed through was copied up.
void Crowd::open_without_path() {
  const sys::UniqueFd held(
      ::openat(root_, any_path().c_str(),
               (rng_.percent(50) ? O_PATH | O_NOFOLLOW : O_RDONLY) | O_NONBLOCK | O_CLOEXEC));
  if (!expect("open-to-hold", static_cast<bool>(held))) return;
  struct stat st = {};
  expect("fstat", ::fstat(held.get(), &st) == 0);
  if (S_ISLNK(st.st_mode)) return;
  const int flags = S_ISDIR(st.st_mode) ? O_RDONLY : rng_.pick({O_RDONLY, O_RDWR, O_WRONLY});
  const sys::UniqueFd fd(::open(fd_path(held.get()).c_str(), flags | O_NONBLOCK | O_CLOEXEC));
  if (passthrough_ && !fd && errno == ESTALE) {
    note("open-proc", false);
    return;
  }
  if (expect("open-proc", static_cast<bool>(fd))) use_data(fd.get(), flags == O_RDWR);
}

void Crowd::unnamed() {
  const std::string dir = any_dir();
  const sys::UniqueFd fd(::openat(root_, dir.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0640));
  // EPERM: what ext4 says of a directory that was removed meanwhile.
  if (!expect("tmpfile", fd || errno == EPERM) || !fd) return;
  use_data(fd.get(), true);
  for (int names = static_cast<int>(rng_.below(3)); names > 0; --names)
    expect("link-tmpfile", ::linkat(AT_FDCWD, fd_path(fd.get()).c_str(), root_, any_path().c_str(),
                                    AT_SYMLINK_FOLLOW) == 0);
}

void Crowd::rename() {
  const unsigned flags = rng_.pick({0U, 0U, unsigned{RENAME_NOREPLACE}, unsigned{RENAME_EXCHANGE}});
  expect(flags == RENAME_EXCHANGE ? "exchange" : "rename",
         ::renameat2(root_, any_path().c_str(), root_, any_path().c_str(), flags) == 0);
}

// The directories that owners keep their files in: they only ever move among themselves.
void Crowd::rename_shared() {
  const std::string first = shared_dir(static_cast<std::uint64_t>(rng_.below(kSharedDirs)));
  const std::string second = shared_dir(static_cast<std::uint64_t>(rng_.below(kSharedDirs)));
  expect("exchange-dirs",
         ::renameat2(root_, first.c_str(), root_, second.c_str(), RENAME_EXCHANGE) == 0);
}

void Crowd::link() {
  expect("link", ::linkat(root_, any_path().c_str(), root_, any_path().c_str(), 0) == 0 ||
                     errno == EPERM);  // a directory
}

void Crowd::remove() {
  const std::string path = any_path();
  if (rng_.percent(70))
    expect("unlink", ::unlinkat(root_, path.c_str(), 0) == 0);
  else
    expect("rmdir", ::unlinkat(root_, path.c_str(), AT_REMOVEDIR) == 0);
}

void Crowd::make_dir() { expect("mkdir", ::mkdirat(root_, any_path().c_str(), 0755) == 0); }

void Crowd::make_other() {
  const std::string path = any_path();
  if (rng_.percent(60))
    expect("symlink", ::symlinkat(any_path().c_str(), root_, path.c_str()) == 0);
  else
    expect("mknod", ::mknodat(root_, path.c_str(), S_IFIFO | 0600, 0) == 0);
}

void Crowd::list() {
  const int fd = ::openat(root_, any_dir().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (!expect("opendir", fd >= 0)) return;
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::fdopendir(fd), ::closedir);
  errno = 0;
  for (const dirent* entry = nullptr; (entry = ::readdir(dir.get())) != nullptr;) {
    struct stat st = {};
    if (rng_.percent(30))
      expect("stat-listed", ::fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0);
    errno = 0;
  }
  expect("readdir", errno == 0);
}

void Crowd::look() {
  struct stat st = {};
  struct statvfs vfs = {};
  std::array<char, 4096> text{};
  const std::string path = any_path();
  expect("stat", ::fstatat(root_, path.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0);
  expect("readlink", ::readlinkat(root_, path.c_str(), text.data(), text.size()) >= 0);
  if (rng_.percent(10)) expect("statfs", ::fstatvfs(root_, &vfs) == 0);
}

void Crowd::xattrs() {
  const std::string path = proc_path(root_, any_path());
  const std::string name = "user.x" + std::to_string(rng_.below(3));
  std::array<char, 512> value{};
  switch (rng_.below(4)) {
    case 0:
      // EPERM: user xattrs are for files and directories only.
      expect("setxattr",
             ::lsetxattr(path.c_str(), name.c_str(), "value", 5, 0) == 0 || errno == EPERM);
      break;
    case 1:
      expect("getxattr", ::lgetxattr(path.c_str(), name.c_str(), value.data(), value.size()) >= 0 ||
                             errno == EPERM);
      break;
    case 2:
      expect("listxattr", ::llistxattr(path.c_str(), value.data(), value.size()) >= 0);
      break;
    default:
      expect("removexattr", ::lremovexattr(path.c_str(), name.c_str()) == 0 || errno == EPERM);
  }
}

void Crowd::attributes() {
  const std::string path = any_path();
  const timespec times[2] = {{1'000'000'000, 0}, {1'100'000'000, 0}};
  switch (rng_.below(4)) {
    case 0:
      expect("chmod", ::fchmodat(root_, path.c_str(), rng_.pick({0644U, 0600U, 0755U}), 0) == 0);
      break;
    case 1:
      expect("chown", ::fchownat(root_, path.c_str(), static_cast<uid_t>(rng_.below(3)), 7,
                                 AT_SYMLINK_NOFOLLOW) == 0);
      break;
    case 2:
      expect("utimes", ::utimensat(root_, path.c_str(), times, AT_SYMLINK_NOFOLLOW) == 0);
      break;
    default:
      expect("truncate", ::truncate(proc_path(root_, path).c_str(), rng_.below(kReach)) == 0);
  }
}

void Crowd::attributes_by_descriptor() {
  const sys::UniqueFd fd = any_open(O_RDONLY);
  if (!fd) return;
  const timespec times[2] = {{1'000'000'000, 0}, {0, UTIME_OMIT}};
  int flags = 0;
  expect("fchmod", ::fchmod(fd.get(), 0640) == 0);
  expect("futimens", ::futimens(fd.get(), times) == 0);
  expect("fsetxattr", ::fsetxattr(fd.get(), "user.fd", "1", 1, 0) == 0 || errno == EPERM);
  // ENOTTY: neither a file nor a directory. ESTALE: for this the kernel opens the file once more,
  // and not by a walk (open_without_path()).
  expect("getflags", ::ioctl(fd.get(), FS_IOC_GETFLAGS, &flags) == 0 || errno == ENOTTY ||
                         (passthrough_ && errno == ESTALE));
}

void Crowd::copy_range() {
  const sys::UniqueFd from = any_open(O_RDONLY);
  const sys::UniqueFd to = any_open(O_RDWR);
  if (!from || !to) return;
  // EBADF, EOVERFLOW, EPERM and EOPNOTSUPP speak of what the two files are.
  if (::copy_file_range(from.get(), nullptr, to.get(), nullptr, 70'000, 0) >= 0)
    note("copy_file_range", true);
  else if (errno == EIO || errno == ESTALE)
    expect("copy_file_range", false);
}

void Crowd::lock() {
  const sys::UniqueFd fd = any_open(O_RDONLY);
  if (fd) expect("flock", ::flock(fd.get(), LOCK_EX | LOCK_NB) == 0 || errno == EWOULDBLOCK);
}

void Crowd::act() {
  using Operation = void (Crowd::*)();
  static constexpr std::array<Operation, 24> kOperations = {
      &Crowd::create,        &Crowd::create,
      &Crowd::open_and_use,  &Crowd::open_and_use,
      &Crowd::open_and_use,  &Crowd::open_without_path,
      &Crowd::unnamed,       &Crowd::rename,
      &Crowd::rename,        &Crowd::rename,
      &Crowd::rename_shared, &Crowd::link,
      &Crowd::link,          &Crowd::remove,
      &Crowd::remove,        &Crowd::make_dir,
      &Crowd::make_other,    &Crowd::list,
      &Crowd::look,          &Crowd::xattrs,
      &Crowd::attributes,    &Crowd::attributes_by_descriptor,
      &Crowd::copy_range,    &Crowd::lock};
  (this->*rng_.pick(std::vector<Operation>(kOperations.begin(), kOperations.end())))();
}

}  // namespace layerfs::test
