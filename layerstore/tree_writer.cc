#include "layerstore/tree_writer.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "fs/layer/dir_marks.h"
#include "fs/layer/marks.h"
#include "fs/sys/descent.h"
#include "layerstore/file_util.h"
#include "layerstore/quote.h"
#include "layerstore/tree_attributes.h"

namespace layerfs::store {

namespace {

constexpr std::size_t kCachedDirs = 24;
// Layers have a few such links, if any.
constexpr std::size_t kMostLinkBytes = 64 << 20;
constexpr std::uint64_t kNoSymlinks = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
constexpr std::uint64_t kSymlinksWithin = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;

Result<sys::UniqueFd> open_resolved(int root, const char* path, int flags, std::uint64_t resolve) {
  open_how how{};
  how.flags = static_cast<std::uint64_t>(flags | O_CLOEXEC);
  how.resolve = resolve;
  while (true) {
    const long fd = ::syscall(SYS_openat2, root, path, &how, sizeof how);
    if (fd >= 0) return sys::UniqueFd(static_cast<int>(fd));
    // A rename elsewhere in the system may spoil the kernel's check.
    if (errno != EAGAIN && errno != EINTR) return fail(errno);
  }
}

tl::unexpected<Failure> cannot(const char* what, const EntryPath& path, int error) {
  return refuse(std::string("cannot ") + what + " " + quote(path.text()), Errno(error));
}

EntryPath split(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == path.npos) return {"", path};
  return {path.substr(0, slash), path.substr(slash + 1)};
}

}  // namespace

TreeWriter::TreeWriter(int root, const TreeFormat& format)
    : root_(root), format_(format), names_(format.user_xattr), spool_(root) {}

Result<sys::UniqueFd> TreeWriter::open_beneath(const std::string& path, int flags) const {
  const char* relative = path.empty() ? "." : path.c_str();
  Result<sys::UniqueFd> fd = open_resolved(root_, relative, flags, kNoSymlinks);
  if (fd || fd.error().code() != ELOOP) return fd;
  return open_resolved(root_, relative, flags, kSymlinksWithin);
}

Outcome<int> TreeWriter::directory(const std::string& path) {
  if (path.empty()) return root_;
  for (auto dir = cache_.begin(); dir != cache_.end(); ++dir) {
    if (dir->path != path) continue;
    cache_.splice(cache_.begin(), cache_, dir);
    return dir->fd.get();
  }
  Result<sys::UniqueFd> fd = open_resolved(root_, path.c_str(), O_PATH | O_DIRECTORY, kNoSymlinks);
  if (!fd) {
    LAYERFS_TRY_ASSIGN(fd, make_parents(path));
  }
  if (cache_.size() >= kCachedDirs) cache_.pop_back();
  cache_.push_front({path, std::move(*fd)});
  return cache_.front().fd.get();
}

Outcome<sys::UniqueFd> TreeWriter::make_parents(const std::string& path) {
  sys::UniqueFd fd;
  for (std::size_t at = 0; at != path.npos;) {
    at = path.find('/', at + 1);
    const EntryPath here = split(path.substr(0, at));
    const int parent = fd ? fd.get() : root_;
    const auto open_here = [&] {
      return open_resolved(parent, here.name.c_str(), O_PATH | O_DIRECTORY, kNoSymlinks);
    };
    Result<sys::UniqueFd> next = open_here();
    if (!next && next.error().code() == ELOOP) {
      next = open_beneath(here.text(), O_PATH | O_DIRECTORY);
    }
    if (!next) {
      LAYERFS_TRY(make_implied(parent, here));
      next = open_here();
    }
    if (!next) return cannot("reach", here, next.error().code());
    fd = std::move(*next);
  }
  return fd;
}

Outcome<void> TreeWriter::make_implied(int parent, const EntryPath& path) {
  struct stat status;
  if (::fstatat(parent, path.name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0) {
    if (S_ISLNK(status.st_mode)) {
      return refuse("it would be written through the symbolic link " + quote(path.text()) +
                    ", which does not lead to a directory of the layer");
    }
    LAYERFS_TRY_ASSIGN(const bool whiteout, is_whiteout(parent, path, status));
    if (!whiteout) {
      return refuse("it lies below " + quote(path.text()) + ", which is no directory", ENOTDIR);
    }
  }
  LAYERFS_TRY_ASSIGN(const bool hides_below, make_directory(parent, path));
  // Where nothing shines through there is nothing to take attributes from.
  if (hides_below) {
    directories_[path.text()];
  } else {
    notes_.implied[path.text()];
  }
  return {};
}

Outcome<bool> TreeWriter::make_directory(int parent, const EntryPath& path) {
  bool was_whiteout = false;
  if (::mkdirat(parent, path.name.c_str(), 0700) != 0) {
    if (errno != EEXIST) return cannot("make the directory", path, errno);
    LAYERFS_TRY_ASSIGN(was_whiteout, clear(parent, path));
    if (::mkdirat(parent, path.name.c_str(), 0700) != 0) {
      return cannot("make the directory", path, errno);
    }
  }
  ++notes_.entries;
  // What the layers below have there is gone: they must not shine through the new directory.
  if (was_whiteout) LAYERFS_TRY(mark_opaque(parent, path.name, layer::kOpaqueValue));
  return was_whiteout;
}

Outcome<bool> TreeWriter::is_whiteout(int parent, const EntryPath& path,
                                      const struct stat& status) const {
  const auto whiteout = layer::is_whiteout(sys::At(parent, path.name.c_str()), status, names_);
  if (!whiteout) return cannot("look at", path, whiteout.error().code());
  return *whiteout;
}

Outcome<bool> TreeWriter::clear(int parent, const EntryPath& path) {
  struct stat status;
  if (::fstatat(parent, path.name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno == ENOENT) return false;
    return cannot("look at", path, errno);
  }
  LAYERFS_TRY_ASSIGN(const bool whiteout, is_whiteout(parent, path, status));
  if (S_ISDIR(status.st_mode)) forget(path.text());
  if (Result<void> removed = remove_tree(parent, path.name); !removed) {
    return cannot("replace", path, removed.error().code());
  }
  return whiteout;
}

void TreeWriter::forget(const std::string& path) {
  cache_.clear();
  directories_.erase_below(path);
  notes_.implied.erase_below(path);
  links_.erase_below(path);
}

Outcome<void> TreeWriter::set_later(const std::string& path, Attributes attributes) {
  LAYERFS_TRY_ASSIGN(XattrSpool::Kept kept, spool_.keep(std::exchange(attributes.xattrs, {})));
  directories_[path] = {std::move(attributes), std::move(kept)};
  return {};
}

Outcome<void> TreeWriter::add_directory(const EntryPath& path, Attributes attributes) {
  if (path.is_root()) {
    notes_.has_root = true;
    return set_later("", std::move(attributes));
  }
  LAYERFS_TRY_ASSIGN(const int parent, directory(path.parent));
  struct stat status;
  const bool exists = ::fstatat(parent, path.name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0;
  if (!exists || !S_ISDIR(status.st_mode)) LAYERFS_TRY(make_directory(parent, path));
  notes_.implied.erase(path.text());
  return set_later(path.text(), std::move(attributes));
}

Outcome<NewFile> TreeWriter::add_file(const EntryPath& path) {
  if (path.is_root()) return refuse("the root of the image is not a directory");
  LAYERFS_TRY_ASSIGN(const int parent, directory(path.parent));
  constexpr int kFlags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
  sys::UniqueFd fd(::openat(parent, path.name.c_str(), kFlags, 0600));
  if (!fd && errno == EEXIST) {
    LAYERFS_TRY(clear(parent, path));
    fd.reset(::openat(parent, path.name.c_str(), kFlags, 0600));
  }
  if (!fd) return cannot("make the file", path, errno);
  ++notes_.entries;
  return NewFile(std::move(fd));
}

Outcome<void> TreeWriter::finish_file(NewFile file, const Attributes& attributes,
                                      std::uint64_t size) {
  struct stat status;
  if (::fstat(file.fd(), &status) != 0) return refuse("cannot look at the file", Errno::last());
  if (static_cast<std::uint64_t>(status.st_size) != size &&
      ::ftruncate(file.fd(), static_cast<off_t>(size)) != 0) {
    return refuse("cannot make the file " + std::to_string(size) + " bytes long", Errno::last());
  }
  notes_.size += size;
  return set_attributes(file.fd(), attributes, S_IFREG, format_, names_, notes_.skipped_xattrs);
}

Outcome<void> TreeWriter::add_symlink(const EntryPath& path, const std::string& target,
                                      const Attributes& attributes) {
  if (path.is_root()) return refuse("the root of the image is not a directory");
  LAYERFS_TRY_ASSIGN(const int parent, directory(path.parent));
  if (::symlinkat(target.c_str(), parent, path.name.c_str()) != 0) {
    if (errno != EEXIST) return cannot("make the symbolic link", path, errno);
    LAYERFS_TRY(clear(parent, path));
    if (::symlinkat(target.c_str(), parent, path.name.c_str()) != 0) {
      return cannot("make the symbolic link", path, errno);
    }
  }
  ++notes_.entries;
  return set_attributes(parent, path.name, attributes, S_IFLNK, format_, names_,
                        notes_.skipped_xattrs);
}

Outcome<void> TreeWriter::add_hard_link(const EntryPath& path, const EntryPath& target) {
  if (path.is_root() || target.is_root()) return refuse("the root of the image is not a directory");
  if (path.text() == target.text()) return {};
  sys::UniqueFd target_parent;
  if (Result<sys::UniqueFd> fd = open_beneath(target.parent, O_PATH | O_DIRECTORY)) {
    target_parent = std::move(*fd);
  } else if (fd.error().code() == EXDEV || fd.error().code() == ELOOP) {
    return refuse("it is a hard link to " + quote(target.text()) +
                  ", which leads out of the layer");
  }
  LAYERFS_TRY_ASSIGN(const int parent, directory(path.parent));
  const auto link = [&] {
    if (!target_parent) return ENOENT;
    const int status =
        ::linkat(target_parent.get(), target.name.c_str(), parent, path.name.c_str(), 0);
    return status == 0 ? 0 : errno;
  };
  int error = link();
  if (error == EEXIST || error == ENOENT) {
    LAYERFS_TRY(clear(parent, path));
    error = link();
  }
  if (error == ENOENT) return borrow(path, target);
  if (error == EPERM) {
    return refuse("it is a hard link to " + quote(target.text()) + ", which is a directory", EPERM);
  }
  if (error != 0) return cannot("make the hard link", path, error);
  ++notes_.entries;
  return {};
}

Outcome<void> TreeWriter::borrow(const EntryPath& path, const EntryPath& target) {
  link_bytes_ += target.parent.size() + target.name.size();
  if (link_bytes_ > kMostLinkBytes) {
    return refuse("the layer has hard links to files of other layers whose names take more than " +
                      std::to_string(kMostLinkBytes >> 20) + " MiB",
                  EFBIG);
  }
  const std::size_t order = links_.size();
  links_[path.text()] = {order, target};
  return {};
}

// In the order of the archive: one may be the target of a later one.
std::vector<BorrowedLink> TreeWriter::borrowed() const {
  struct Collect {
    void down(const std::string& name) { names.push_back(name); }
    Outcome<void> up(const LaterLink* link) {
      if (link != nullptr) {
        std::string path;
        for (const std::string& name : names) path += (path.empty() ? "" : "/") + name;
        found.emplace_back(link->order, BorrowedLink{split(path), link->target});
      }
      if (!names.empty()) names.pop_back();
      return {};
    }
    std::vector<std::string> names;
    std::vector<std::pair<std::size_t, BorrowedLink>> found;
  } collect;
  static_cast<void>(links_.walk(collect));
  std::ranges::stable_sort(collect.found, {}, &std::pair<std::size_t, BorrowedLink>::first);
  std::vector<BorrowedLink> links;
  for (auto& [order, link] : collect.found) links.push_back(std::move(link));
  return links;
}

Outcome<void> TreeWriter::add_special(const EntryPath& path, mode_t type, dev_t device,
                                      const Attributes& attributes) {
  if (path.is_root()) return refuse("the root of the image is not a directory");
  LAYERFS_TRY_ASSIGN(const int parent, directory(path.parent));
  if (::mknodat(parent, path.name.c_str(), type | 0600, device) != 0) {
    if (errno == EEXIST) {
      LAYERFS_TRY(clear(parent, path));
      errno = ::mknodat(parent, path.name.c_str(), type | 0600, device) == 0 ? 0 : errno;
    }
    if (errno == EPERM && format_.ownership == Ownership::kRecorded) {
      ++notes_.skipped_devices;
      return {};
    }
    if (errno != 0) return cannot("make the special file", path, errno);
  }
  ++notes_.entries;
  return set_attributes(parent, path.name, attributes, type, format_, names_,
                        notes_.skipped_xattrs);
}

Outcome<void> TreeWriter::add_whiteout(const EntryPath& path) {
  LAYERFS_TRY_ASSIGN(const int parent, directory(path.parent));
  if (::mknodat(parent, path.name.c_str(), S_IFCHR, 0) == 0) {
    ++notes_.entries;
    return {};
  }
  if (errno == EEXIST) {
    struct stat status;
    if (::fstatat(parent, path.name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
      return cannot("look at", path, errno);
    }
    if (!S_ISDIR(status.st_mode)) return {};
    if (notes_.implied.erase(path.text())) directories_[path.text()];
    return mark_opaque(parent, path.name, layer::kOpaqueValue);
  }
  if (errno == EPERM || errno == EOPNOTSUPP || errno == EINVAL) {
    return make_xattr_whiteout(parent, path);
  }
  return cannot("make the whiteout", path, errno);
}

Outcome<void> TreeWriter::make_xattr_whiteout(int parent, const EntryPath& path) {
  const sys::UniqueFd fd(
      ::openat(parent, path.name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  const std::string mark = names_.mark(layer::mark::kWhiteout);
  if (!fd || ::fsetxattr(fd.get(), mark.c_str(), layer::kYes.data(), layer::kYes.size(), 0) != 0) {
    return cannot("make the whiteout", path, errno);
  }
  ++notes_.entries;
  // Overlayfs looks for whiteouts of this form only in directories that say so.
  const std::string opaque = names_.mark(layer::mark::kOpaque);
  const std::string directory = proc_path(parent);
  if (::setxattr(directory.c_str(), opaque.c_str(), layer::kXWhiteouts.data(),
                 layer::kXWhiteouts.size(), XATTR_CREATE) != 0 &&
      errno != EEXIST) {
    return cannot("make the whiteout", path, errno);
  }
  return {};
}

Outcome<void> TreeWriter::mark_opaque(int parent, const std::string& name, std::string_view value) {
  const std::string mark = names_.mark(layer::mark::kOpaque);
  const std::string path = name.empty() ? proc_path(parent) : proc_path(parent, name);
  if (::setxattr(path.c_str(), mark.c_str(), value.data(), value.size(), 0) == 0) return {};
  return refuse("cannot mark the directory " + quote(name) + " as opaque (" + mark + ")",
                Errno::last());
}

Outcome<void> TreeWriter::add_opaque(const std::string& path) {
  LAYERFS_TRY_ASSIGN(const int fd, directory(path));
  if (path.empty()) notes_.opaque_root = true;
  return mark_opaque(fd, "", layer::kOpaqueValue);
}

// Children before parents: a parent's mode may close the way to them.
class TreeWriter::Finish {
 public:
  Finish(TreeWriter& writer, sys::Descent at) : writer_(writer), at_(std::move(at)) {}

  void down(const std::string& name) {
    path_.push_back(name);
    // Behind a symlink the walk leads on by whole paths only.
    if (astray_ > 0 || !at_.enter(name.c_str())) ++astray_;
  }

  Outcome<void> up(const LaterAttributes* later) {
    if (later != nullptr) LAYERFS_TRY(set(*later));
    if (path_.empty()) return {};
    const bool was_astray = astray_ > 0;
    if (was_astray) --astray_;
    if (!was_astray) {
      if (const auto left = at_.leave(); !left) return cannot("leave", here(), left.error().code());
    }
    path_.pop_back();
    return {};
  }

 private:
  EntryPath here() const {
    std::string path;
    for (const std::string& name : path_) path += (path.empty() ? "" : "/") + name;
    return split(path);
  }

  Outcome<void> set(const LaterAttributes& later) {
    Attributes attributes = later.plain;
    LAYERFS_TRY_ASSIGN(attributes.xattrs, writer_.spool_.read(later.xattrs));
    if (astray_ == 0) return set(at_.fd(), attributes);
    const auto fd = writer_.open_beneath(here().text(), O_RDONLY | O_DIRECTORY);
    if (!fd) return cannot("reach", here(), fd.error().code());
    return set(fd->get(), attributes);
  }

  Outcome<void> set(int fd, const Attributes& attributes) {
    return set_attributes(fd, attributes, S_IFDIR, writer_.format_, writer_.names_,
                          writer_.notes_.skipped_xattrs);
  }

  TreeWriter& writer_;
  sys::Descent at_;
  std::vector<std::string> path_;
  std::size_t astray_ = 0;  // how many of the last names were not entered
};

Outcome<TreeNotes> TreeWriter::finish() {
  cache_.clear();
  struct Add {
    void down(const std::string& name) { lengths.push_back(path.size()), path += "/" + name; }
    Outcome<void> up(const Present* present) {
      if (present != nullptr) writer.directories_[std::string_view(path).substr(1)];
      if (!lengths.empty()) path.resize(lengths.back()), lengths.pop_back();
      return {};
    }
    TreeWriter& writer;
    std::string path;
    std::vector<std::size_t> lengths;
  } add{*this, {}, {}};
  LAYERFS_TRY(notes_.implied.walk(add));
  directories_[""];
  auto at = sys::Descent::from(root_);
  if (!at) return cannot("reach", {}, at.error().code());
  Finish finish(*this, std::move(*at));
  LAYERFS_TRY(directories_.walk(finish));
  notes_.borrowed = borrowed();
  return std::move(notes_);
}

}  // namespace layerfs::store
