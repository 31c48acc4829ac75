#include "layerstore/file_util.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <vector>

namespace layerfs::store {

namespace {

struct CloseDir {
  void operator()(DIR* dir) const { ::closedir(dir); }
};
using Dir = std::unique_ptr<DIR, CloseDir>;

Result<Dir> open_dir(int dirfd, const char* name) {
  sys::UniqueFd fd(::openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) return fail(errno);
  Dir dir(::fdopendir(fd.get()));
  if (!dir) return fail(errno);
  static_cast<void>(fd.release());  // closedir closes it
  return dir;
}

// Names of a directory, read before anything in it is removed.
Result<std::vector<std::string>> names_in(DIR* dir) {
  std::vector<std::string> names;
  while (true) {
    errno = 0;
    const dirent* entry = ::readdir(dir);
    if (!entry) break;
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  if (errno != 0) return fail(errno);
  return names;
}

// Deeper trees are cut: a directory this far down is moved up to the top and removed from there.
constexpr int kMaxDepth = 64;

class TreeRemover {
 public:
  // `moved` counts on over the passes, so that no name is given twice.
  TreeRemover(int top, unsigned long& moved) : top_(top), moved_(moved) {}

  Result<void> remove_children(DIR* dir, int depth) {
    LAYERFS_TRY_ASSIGN(const std::vector<std::string> names, names_in(dir));
    for (const std::string& name : names) LAYERFS_TRY(remove(::dirfd(dir), name, depth));
    return {};
  }

 private:
  Result<void> remove(int dirfd, const std::string& name, int depth) {
    if (::unlinkat(dirfd, name.c_str(), 0) == 0 || errno == ENOENT) return {};
    if (errno != EISDIR && errno != EPERM) return fail(errno);
    if (::unlinkat(dirfd, name.c_str(), AT_REMOVEDIR) == 0) return {};
    if (errno != ENOTEMPTY && errno != EEXIST) return fail(errno);
    if (depth >= kMaxDepth) return move_up(dirfd, name);
    // A directory of a container may deny its owner everything.
    if (::geteuid() != 0) static_cast<void>(::fchmodat(dirfd, name.c_str(), 0700, 0));
    {
      LAYERFS_TRY_ASSIGN(const Dir dir, open_dir(dirfd, name.c_str()));
      LAYERFS_TRY(remove_children(dir.get(), depth + 1));
    }
    if (::unlinkat(dirfd, name.c_str(), AT_REMOVEDIR) != 0) return fail(errno);
    return {};
  }

  Result<void> move_up(int dirfd, const std::string& name) {
    const std::string there = "deep." + std::to_string(moved_++);
    if (::renameat(dirfd, name.c_str(), top_, there.c_str()) != 0) return fail(errno);
    return {};
  }

  int top_;
  unsigned long& moved_;
};

}  // namespace

Result<std::string> read_file(int dirfd, const char* path, std::size_t limit) {
  const sys::UniqueFd fd(::openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd) return fail(errno);
  struct stat status;
  if (::fstat(fd.get(), &status) != 0) return fail(errno);
  if (!S_ISREG(status.st_mode)) return fail(S_ISDIR(status.st_mode) ? EISDIR : EINVAL);
  if (static_cast<std::size_t>(status.st_size) > limit) return fail(EFBIG);
  std::string content(static_cast<std::size_t>(status.st_size), '\0');
  LAYERFS_TRY_ASSIGN(const std::size_t size,
                     read_at(fd.get(), std::as_writable_bytes(std::span(content)), 0));
  content.resize(size);
  return content;
}

Result<void> write_all(int fd, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return fail(errno);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return {};
}

Result<std::size_t> read_at(int fd, std::span<std::byte> buffer, std::uint64_t offset) {
  std::size_t done = 0;
  while (done < buffer.size()) {
    const ssize_t got =
        ::pread(fd, buffer.data() + done, buffer.size() - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail(errno);
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  return done;
}

Result<void> replace_file(int dirfd, const std::string& name, std::string_view content) {
  const std::string temporary = name + ".new";
  {
    const sys::UniqueFd fd(::openat(dirfd, temporary.c_str(),
                                    O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644));
    if (!fd) return fail(errno);
    LAYERFS_TRY(write_all(fd.get(), std::as_bytes(std::span(content))));
    if (::fsync(fd.get()) != 0) return fail(errno);
  }
  if (::renameat(dirfd, temporary.c_str(), dirfd, name.c_str()) != 0) return fail(errno);
  if (::fsync(dirfd) != 0) return fail(errno);
  return {};
}

Result<void> remove_tree(int dirfd, const std::string& name) {
  if (::unlinkat(dirfd, name.c_str(), 0) == 0 || errno == ENOENT) return {};
  if (errno != EISDIR && errno != EPERM) return fail(errno);
  if (::geteuid() != 0) static_cast<void>(::fchmodat(dirfd, name.c_str(), 0700, 0));
  // Each pass may move deep directories up to the top; the next pass finds them there.
  unsigned long moved = 0;
  while (true) {
    {
      LAYERFS_TRY_ASSIGN(const Dir dir, open_dir(dirfd, name.c_str()));
      LAYERFS_TRY(TreeRemover(::dirfd(dir.get()), moved).remove_children(dir.get(), 0));
    }
    if (::unlinkat(dirfd, name.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT) return {};
    if (errno != ENOTEMPTY && errno != EEXIST) return fail(errno);
  }
}

Result<std::vector<std::string>> list_dir(int dirfd, const char* path) {
  LAYERFS_TRY_ASSIGN(const Dir dir, open_dir(dirfd, path));
  return names_in(dir.get());
}

Result<void> make_dir(int dirfd, const char* path, unsigned mode) {
  if (::mkdirat(dirfd, path, mode) == 0 || errno == EEXIST) return {};
  return fail(errno);
}

}  // namespace layerfs::store
