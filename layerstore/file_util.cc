#include "layerstore/file_util.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <utility>
#include <vector>

#include "fs/sys/file.h"
#include "fs/sys/remove_tree.h"

namespace layerfs::store {

namespace {

struct CloseDir {
  void operator()(DIR* dir) const { ::closedir(dir); }
};
using Dir = std::unique_ptr<DIR, CloseDir>;

Result<Dir> read_dir(sys::UniqueFd fd) {
  Dir dir(::fdopendir(fd.get()));
  if (!dir) return fail(errno);
  static_cast<void>(fd.release());  // closedir closes it
  return dir;
}

// The directory that the path's last name is in, and that name.
struct Place {
  sys::UniqueFd parent;
  std::string name;
};

Result<Place> place_of(int dirfd, const std::string& path) {
  const std::size_t slash = path.rfind('/');
  const std::string parent = slash == path.npos ? "" : path.substr(0, slash);
  LAYERFS_TRY_ASSIGN(sys::UniqueFd fd,
                     sys::open_beneath(dirfd, parent.c_str(), O_PATH | O_DIRECTORY));
  return Place{std::move(fd), slash == path.npos ? path : path.substr(slash + 1)};
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

}  // namespace

Result<sys::UniqueFd> open_file(int dirfd, const std::string& path, int flags, mode_t mode) {
  const int all = flags | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW;
  auto fd = sys::open_beneath(dirfd, path.c_str(), all, mode);
  if (fd || fd.error() != Errno(EIO)) return fd;
  // So is the error of a disk, and of what is no file: which of them is it?
  LAYERFS_TRY_ASSIGN(const struct stat status, stat_entry(dirfd, path));
  if (S_ISREG(status.st_mode)) return fd;
  return fail(S_ISDIR(status.st_mode) ? EISDIR : EINVAL);
}

Result<sys::UniqueFd> open_dir(int dirfd, const std::string& path) {
  return sys::open_beneath(dirfd, path.c_str(), O_RDONLY | O_DIRECTORY);
}

Result<struct stat> stat_entry(int dirfd, const std::string& path) {
  LAYERFS_TRY_ASSIGN(const Place place, place_of(dirfd, path));
  return sys::stat_at(place.parent.get(), place.name.c_str());
}

bool has_entry(int dirfd, const std::string& path) { return stat_entry(dirfd, path).has_value(); }

bool has_dir(int dirfd, const std::string& path) {
  const Result<struct stat> status = stat_entry(dirfd, path);
  return status && S_ISDIR(status->st_mode);
}

Result<std::string> read_file(int dirfd, const std::string& path, std::size_t limit) {
  LAYERFS_TRY_ASSIGN(const sys::UniqueFd fd, open_file(dirfd, path, O_RDONLY));
  LAYERFS_TRY_ASSIGN(const struct stat status, sys::stat_fd(fd.get()));
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

Result<void> make_file(int dirfd, const std::string& path, std::string_view content) {
  LAYERFS_TRY_ASSIGN(const sys::UniqueFd fd,
                     sys::open_beneath(dirfd, path.c_str(), O_WRONLY | O_CREAT | O_EXCL, 0644));
  return write_all(fd.get(), std::as_bytes(std::span(content)));
}

Result<void> replace_file(int dirfd, const std::string& name, std::string_view content) {
  const std::string temporary = name + ".new";
  // What a killed writer left, or somebody put there.
  LAYERFS_TRY(remove_tree(dirfd, temporary));
  {
    LAYERFS_TRY_ASSIGN(
        const sys::UniqueFd fd,
        sys::open_beneath(dirfd, temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL, 0644));
    LAYERFS_TRY(write_all(fd.get(), std::as_bytes(std::span(content))));
    if (::fsync(fd.get()) != 0) return fail(errno);
  }
  if (::renameat(dirfd, temporary.c_str(), dirfd, name.c_str()) != 0) return fail(errno);
  if (::fsync(dirfd) != 0) return fail(errno);
  return {};
}

Result<void> remove_tree(int dirfd, const std::string& path) {
  const Result<Place> place = place_of(dirfd, path);
  if (!place && place.error().code() == ENOENT) return {};
  if (!place) return fail(place.error());
  auto removed = sys::remove_tree(place->parent.get(), place->name.c_str());
  if (!removed && removed.error() == Errno(ENOENT)) return {};
  return removed;
}

Result<void> move_entry(int from_dirfd, const std::string& from, int to_dirfd,
                        const std::string& to, unsigned flags) {
  LAYERFS_TRY_ASSIGN(const Place old, place_of(from_dirfd, from));
  LAYERFS_TRY_ASSIGN(const Place now, place_of(to_dirfd, to));
  return sys::rename_at(old.parent.get(), old.name.c_str(), now.parent.get(), now.name.c_str(),
                        flags);
}

Result<void> sync_dir(int dirfd, const std::string& path) {
  LAYERFS_TRY_ASSIGN(const sys::UniqueFd fd, open_dir(dirfd, path));
  if (::fsync(fd.get()) != 0) return fail(errno);
  return {};
}

Result<std::vector<std::string>> list_dir(int dirfd, const std::string& path) {
  LAYERFS_TRY_ASSIGN(sys::UniqueFd fd, open_dir(dirfd, path));
  LAYERFS_TRY_ASSIGN(const Dir dir, read_dir(std::move(fd)));
  return names_in(dir.get());
}

Result<void> make_dir(int dirfd, const std::string& path, unsigned mode) {
  LAYERFS_TRY_ASSIGN(const Place place, place_of(dirfd, path));
  if (::mkdirat(place.parent.get(), place.name.c_str(), mode) == 0) return {};
  if (errno != EEXIST) return fail(errno);
  LAYERFS_TRY_ASSIGN(const struct stat status,
                     sys::stat_at(place.parent.get(), place.name.c_str()));
  if (S_ISLNK(status.st_mode)) return fail(ELOOP);
  if (!S_ISDIR(status.st_mode)) return fail(ENOTDIR);
  return {};
}

tl::unexpected<Failure> refuse_entry(std::string sentence, Errno error) {
  const char* what = error.code() == ELOOP    ? "it is a symbolic link, or lies behind one"
                     : error.code() == EINVAL ? "it is no regular file"
                                              : nullptr;
  if (what == nullptr) return refuse(std::move(sentence), error);
  return refuse(sentence + ": " + what + ", which a store does not have; remove it", error.code());
}

}  // namespace layerfs::store
