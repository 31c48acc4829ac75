#include "tests/oracle/runner.h"

#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <set>

#include <fmt/format.h>

#include "tests/oracle/forked.h"
#include "tests/oracle/snapshot.h"
#include "tests/oracle/text.h"

namespace layerfs::oracle {
namespace {

// Reads one directory in steps so small that it must be resumed, changing it in between.
class Churn {
 public:
  Churn(int dir, int64_t count) : dir_(dir), count_(count) {}

  std::string run() {
    for (const std::string& name : pass(false)) stable_.insert(name);
    for (int64_t i = 0; i < count_; ++i) make(next_++);
    const std::vector<std::string> seen = pass(true);
    while (oldest_ < next_) drop(oldest_++);
    std::map<std::string, int> times;
    for (const std::string& name : seen) ++times[name];
    int64_t missed = 0;
    for (const std::string& name : stable_) missed += times.count(name) == 0 ? 1 : 0;
    const auto twice =
        std::count_if(times.begin(), times.end(), [](const auto& name) { return name.second > 1; });
    return fmt::format("ok missed={} twice={}", missed, twice);
  }

 private:
  static constexpr size_t kStep = 320;  // room for the longest name

  std::vector<std::string> pass(bool change) {
    std::vector<std::string> names;
    alignas(dirent64) char buffer[kStep];
    ::lseek(dir_, 0, SEEK_SET);
    while (true) {
      const ssize_t got = ::getdents64(dir_, buffer, kStep);
      if (got <= 0) return names;
      for (ssize_t at = 0; at < got;) {
        const auto* entry = reinterpret_cast<const dirent64*>(buffer + at);
        names.emplace_back(entry->d_name);
        at += entry->d_reclen;
      }
      if (!change || oldest_ >= count_) continue;
      drop(oldest_++);
      make(next_++);
    }
  }

  static std::string name_of(int64_t number) { return fmt::format("churn-{}", number); }
  void make(int64_t number) {
    const sys::UniqueFd fd(
        ::openat(dir_, name_of(number).c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644));
  }
  void drop(int64_t number) { ::unlinkat(dir_, name_of(number).c_str(), 0); }

  const int dir_;
  const int64_t count_;
  int64_t oldest_ = 0;
  int64_t next_ = 0;
  std::set<std::string> stable_;
};

// Deletes a tree as rm does: each directory is listed while its names go.
struct Removal {
  int removed = 0;
  int failed = 0;

  void remove(int dir, const std::string& name) {
    const sys::UniqueFd fd(
        ::openat(dir, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (fd) remove_content(fd.get());
    const bool done = ::unlinkat(dir, name.c_str(), fd ? AT_REMOVEDIR : 0) == 0;
    ++(done ? removed : failed);
  }

  void remove_content(int fd) {
    const std::unique_ptr<DIR, int (*)(DIR*)> listing(::fdopendir(::dup(fd)), ::closedir);
    if (!listing) return;
    while (const dirent* entry = ::readdir(listing.get())) {
      const std::string name = entry->d_name;
      struct stat st = {};
      const bool phantom = ::fstatat(fd, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0;
      if (name != "." && name != ".." && !phantom) remove(fd, name);
    }
  }
};

const char* dirent_type(unsigned char type) {
  switch (type) {
    case DT_DIR:
      return "dir";
    case DT_REG:
      return "file";
    case DT_LNK:
      return "symlink";
    case DT_CHR:
      return "char";
    case DT_BLK:
      return "block";
    case DT_FIFO:
      return "fifo";
    case DT_SOCK:
      return "socket";
    default:
      return "unknown";
  }
}

}  // namespace

const std::vector<Actor>& actors() {
  static const std::vector<Actor> all = {
      {0, 0, {0}}, {1000, 1000, {1000, 2000}}, {1001, 1001, {1001, 2000}}};
  return all;
}

std::string outcome(int64_t result) { return result >= 0 ? "ok" : errno_name(errno); }

std::string outcome(int64_t result, std::string_view key) {
  return result >= 0 ? fmt::format("ok {}={}", key, result) : errno_name(errno);
}

Runner::Runner(const std::string& root, InodeAliases aliases) : aliases_(std::move(aliases)) {
  for (const auto& [ino, alias] : aliases_) next_alias_ = std::max(next_alias_, alias + 1);
  proc_.reset(::open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  root_.reset(::open(root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!proc_ || !root_ || ::fchdir(root_.get()) != 0 || ::chroot(".") != 0) ::_exit(4);
}

Runner::Handler Runner::handler(OpKind kind) {
  static constexpr Handler kHandlers[] = {
      &Runner::open,        &Runner::reopen,      &Runner::close,        &Runner::read,
      &Runner::write,       &Runner::map_read,    &Runner::map_write,    &Runner::ftruncate,
      &Runner::fallocate,   &Runner::copy_range,  &Runner::seek,         &Runner::fsync,
      &Runner::fstat,       &Runner::fchmod,      &Runner::fchown,       &Runner::futimens,
      &Runner::fsetxattr,   &Runner::fgetxattr,   &Runner::fremovexattr, &Runner::flistxattr,
      &Runner::list,        &Runner::churn,       &Runner::slurp,        &Runner::poke,
      &Runner::truncate,    &Runner::mkdir,       &Runner::rmdir,        &Runner::unlink,
      &Runner::rename,      &Runner::link,        &Runner::link_fd,      &Runner::symlink,
      &Runner::readlink,    &Runner::mknod,       &Runner::stat,         &Runner::chmod,
      &Runner::chown,       &Runner::lchown,      &Runner::utimens,      &Runner::setxattr,
      &Runner::getxattr,    &Runner::removexattr, &Runner::listxattr,    &Runner::access,
      &Runner::statfs,      &Runner::ls,          &Runner::rm_tree,      &Runner::tree,
      &Runner::drop_caches, &Runner::remount,     &Runner::remount,
  };
  static_assert(std::size(kHandlers) == static_cast<size_t>(OpKind::kStackUpper) + 1);
  return kHandlers[static_cast<size_t>(kind)];
}

std::string Runner::run(const Op& op) {
  if (::fchdir(op.at >= 0 ? slot(op.at) : root_.get()) != 0) return "at:" + errno_name(errno);
  if (op.kind == OpKind::kUnlink || op.kind == OpKind::kRmdir) forget_alias_of(op.path);
  if (op.kind == OpKind::kRmTree) aliases_.clear();
  if (op.kind == OpKind::kRename) forget_alias_of(op.path2);
  ::umask(static_cast<mode_t>(op.umask));
  const Actor& actor = actors()[static_cast<size_t>(op.as) % actors().size()];
  if (actor.uid != 0 && !become(actor)) ::_exit(4);
  std::string result = (this->*handler(op.kind))(op);
  if (actor.uid != 0) become_root();
  return result;
}

InodeAliases Runner::finish() {
  for (sys::UniqueFd& fd : slots_) {
    forget_alias_if_gone(fd.get());
    fd.reset();
  }
  return aliases_;
}

bool Runner::become(const Actor& actor) {
  return ::setgroups(actor.groups.size(), actor.groups.data()) == 0 &&
         ::setresgid(actor.gid, actor.gid, 0) == 0 && ::setresuid(actor.uid, actor.uid, 0) == 0;
}

void Runner::become_root() {
  const gid_t root_group = 0;
  const bool back =
      ::setresuid(0, 0, 0) == 0 && ::setresgid(0, 0, 0) == 0 && ::setgroups(1, &root_group) == 0;
  if (!back) ::_exit(4);
}

int Runner::slot(int64_t index) const {
  return index < 0 ? -1 : slots_[static_cast<size_t>(index % kSlots)].get();
}

std::string Runner::put(int64_t index, int fd) {
  if (fd < 0) return errno_name(errno);
  sys::UniqueFd& place = slots_[static_cast<size_t>(index < 0 ? 0 : index % kSlots)];
  forget_alias_if_gone(place.get());
  place.reset(fd);
  return "ok";
}

std::string Runner::open(const Op& op) {
  // Never waits for the other end of a fifo.
  const int flags = static_cast<int>(op.flags) | O_NONBLOCK | O_CLOEXEC;
  return put(op.slot, ::open(op.path.c_str(), flags, static_cast<mode_t>(op.mode)));
}

std::string Runner::reopen(const Op& op) {
  const int source = slot(op.slot2);
  if (source < 0) return "EBADF";
  const int flags = static_cast<int>(op.flags) | O_NONBLOCK | O_CLOEXEC;
  return put(op.slot, ::openat(proc_.get(), std::to_string(source).c_str(), flags));
}

std::string Runner::close(const Op& op) {
  if (slot(op.slot) < 0) return "EBADF";
  forget_alias_if_gone(slot(op.slot));
  return outcome(::close(slots_[static_cast<size_t>(op.slot % kSlots)].release()));
}

std::string Runner::list_names(int fd) {
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::fdopendir(::dup(fd)), ::closedir);
  if (!dir) return errno_name(errno);
  ::rewinddir(dir.get());
  std::multimap<std::string, const char*> names;
  errno = 0;
  while (const dirent* entry = ::readdir(dir.get()))
    names.emplace(entry->d_name, dirent_type(entry->d_type));
  if (errno != 0) return errno_name(errno);
  std::string result = "ok";
  for (const auto& [name, type] : names) {
    struct stat st = {};
    const bool phantom =
        ::fstatat(fd, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0 && errno == ENOENT;
    result += phantom ? " phantom=" + quote(name) : fmt::format(" {}={}", quote(name), type);
  }
  return result;
}

std::string Runner::ls(const Op& op) {
  const sys::UniqueFd fd(::open(op.path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  return fd ? list_names(fd.get()) : errno_name(errno);
}

std::string Runner::list(const Op& op) {
  const int fd = slot(op.slot);
  return fd < 0 ? "EBADF" : list_names(fd);
}

std::string Runner::churn(const Op& op) {
  const sys::UniqueFd fd(::open(op.path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  return fd ? Churn(fd.get(), op.len).run() : errno_name(errno);
}

std::string Runner::rm_tree(const Op& op) {
  Removal removal;
  removal.remove(AT_FDCWD, op.path);
  return fmt::format("ok removed={} failed={}", removal.removed, removal.failed);
}

std::string Runner::tree(const Op&) {
  return "tree\n" + to_text(take_snapshot("/", SnapshotScope::kMount));
}

std::string Runner::drop_caches(const Op&) {
  // Reconfiguring a superblock, even to no effect, drops its unused dentries, and overlayfs and
  // FUSE keep no inode without one: the machine's other caches stay.
  const sys::UniqueFd context(::fspick(AT_FDCWD, "/", FSPICK_CLOEXEC));
  if (!context) return errno_name(errno);
  return outcome(::fsconfig(context.get(), FSCONFIG_CMD_RECONFIGURE, nullptr, nullptr, 0));
}

// Happens between two runners.
std::string Runner::remount(const Op&) { return "ok"; }

void Runner::forget_alias_of(const std::string& path) {
  struct stat st = {};
  if (::lstat(path.c_str(), &st) == 0) aliases_.erase(st.st_ino);
}

void Runner::forget_alias_if_gone(int fd) {
  struct stat st = {};
  if (fd >= 0 && ::fstat(fd, &st) == 0 && st.st_nlink == 0) aliases_.erase(st.st_ino);
}

}  // namespace layerfs::oracle
