#include "layerstore/borrow.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <sstream>

#include "fs/layer/dir_marks.h"
#include "fs/layer/marks.h"
#include "fs/sys/copy.h"
#include "fs/sys/interruption.h"
#include "fs/sys/xattr.h"
#include "layerstore/file_util.h"
#include "layerstore/quote.h"
#include "layerstore/tree_attributes.h"

namespace layerfs::store {

namespace {

constexpr int kOpenDir = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

std::vector<std::string> components(const std::string& path) {
  std::vector<std::string> parts;
  std::istringstream stream(path);
  for (std::string part; std::getline(stream, part, '/');) parts.push_back(part);
  return parts;
}

// The xattrs of a file as they lie on the disk, but for overlayfs's marks.
Result<std::vector<std::pair<std::string, std::string>>> plain_xattrs(
    const sys::At& at, const layer::XattrNames& names) {
  std::vector<std::pair<std::string, std::string>> xattrs;
  LAYERFS_TRY_ASSIGN(const std::string list, sys::list_xattr(at));
  for (const std::string& name : sys::split_xattrs(list)) {
    if (names.is_private(name)) continue;
    LAYERFS_TRY_ASSIGN(std::string value, sys::get_xattr(at, name));
    xattrs.emplace_back(name, std::move(value));
  }
  return xattrs;
}

// Owner, mode, xattrs and times from one file to another, which is given by a path into
// /proc/self/fd whose last component is not followed.
Result<void> copy_attributes(const sys::At& from, const std::string& to, const struct stat& status,
                             const TreeFormat& format) {
  if (format.ownership == Ownership::kReal &&
      ::fchownat(AT_FDCWD, to.c_str(), status.st_uid, status.st_gid, AT_SYMLINK_NOFOLLOW) != 0) {
    return fail(errno);
  }
  if (!S_ISLNK(status.st_mode) && ::chmod(to.c_str(), status.st_mode & 07777) != 0) {
    return fail(errno);
  }
  LAYERFS_TRY_ASSIGN(const auto xattrs, plain_xattrs(from, layer::XattrNames(format.user_xattr)));
  for (const auto& [name, value] : xattrs) {
    if (::lsetxattr(to.c_str(), name.c_str(), value.data(), value.size(), 0) != 0) {
      return fail(errno);
    }
  }
  const timespec times[2] = {status.st_atim, status.st_mtim};
  if (::utimensat(AT_FDCWD, to.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0) return fail(errno);
  return {};
}

// An entry of a layer: an open parent directory and a name in it.
struct Found {
  sys::UniqueFd parent;
  std::string name;
  struct stat status;

  sys::At at() const { return sys::At(parent.get(), name.c_str()); }
};

class Lookup {
 public:
  Lookup(std::vector<int> trees, const TreeFormat& format)
      : trees_(std::move(trees)), names_(format.user_xattr) {}

  // What the merged layers have at this path; nothing if they have nothing there.
  Result<std::optional<Found>> find(const std::string& path) const {
    const std::vector<std::string> parts = components(path);
    for (const int tree : trees_) {
      bool hidden_below = false;
      LAYERFS_TRY_ASSIGN(std::optional<Found> found, find_in(tree, parts, hidden_below));
      if (found || hidden_below) return found;
    }
    return std::nullopt;
  }

  // Whether an opaque directory of this tree above the path hides what layers below have there.
  Result<bool> hides(int tree, const std::string& path) const {
    bool hidden = false;
    LAYERFS_TRY(find_in(tree, components(path), hidden));
    return hidden;
  }

 private:
  // `hidden_below`: this layer hides what the layers below have at the path.
  Result<std::optional<Found>> find_in(int tree, const std::vector<std::string>& parts,
                                       bool& hidden_below) const {
    sys::UniqueFd parent(::openat(tree, ".", kOpenDir));
    if (!parent) return fail(errno);
    for (std::size_t i = 0; i < parts.size(); ++i) {
      if (!hidden_below) {
        LAYERFS_TRY_ASSIGN(hidden_below, is_opaque(parent.get()));
      }
      struct stat status;
      if (::fstatat(parent.get(), parts[i].c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
        if (errno == ENOENT) return std::nullopt;
        return fail(errno);
      }
      LAYERFS_TRY_ASSIGN(
          const bool whiteout,
          layer::is_whiteout(sys::At(parent.get(), parts[i].c_str()), status, names_));
      if (i + 1 == parts.size() && !whiteout) {
        return Found{std::move(parent), parts[i], status};
      }
      if (!S_ISDIR(status.st_mode)) {
        hidden_below = true;
        return std::nullopt;
      }
      sys::UniqueFd next(::openat(parent.get(), parts[i].c_str(), kOpenDir));
      if (!next) return fail(errno);
      parent = std::move(next);
    }
    return std::nullopt;
  }

  Result<bool> is_opaque(int dir) const {
    LAYERFS_TRY_ASSIGN(const auto value,
                       sys::find_xattr(sys::At(dir), names_.mark(layer::mark::kOpaque)));
    return value == layer::kOpaqueValue;
  }

  std::vector<int> trees_;
  layer::XattrNames names_;
};

Result<sys::UniqueFd> open_parent(int tree, const EntryPath& path) {
  sys::UniqueFd fd(::openat(tree, ".", kOpenDir));
  for (const std::string& part : components(path.parent)) {
    if (!fd) break;
    fd.reset(::openat(fd.get(), part.c_str(), kOpenDir));
  }
  if (!fd) return fail(errno);
  return fd;
}

Result<void> copy_file(const Found& from, int parent, const std::string& name,
                       const TreeFormat& format) {
  const struct stat& status = from.status;
  if (S_ISREG(status.st_mode)) {
    const sys::UniqueFd in(::openat(from.parent.get(), from.name.c_str(),
                                    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (!in) return fail(errno);
    const sys::UniqueFd out(
        ::openat(parent, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (!out) return fail(errno);
    LAYERFS_TRY(sys::copy_data(in.get(), out.get(), status.st_size));
  } else if (S_ISLNK(status.st_mode)) {
    std::string target(static_cast<std::size_t>(status.st_size) + 1, '\0');
    const ssize_t size =
        ::readlinkat(from.parent.get(), from.name.c_str(), target.data(), target.size());
    if (size < 0) return fail(errno);
    target.resize(static_cast<std::size_t>(size));
    if (::symlinkat(target.c_str(), parent, name.c_str()) != 0) return fail(errno);
  } else if (::mknodat(parent, name.c_str(), status.st_mode, status.st_rdev) != 0) {
    return fail(errno);
  }
  return copy_attributes(from.at(), proc_path(parent, name), status, format);
}

// The errno of the link to a file that the tree itself has by now: an earlier borrowed one.
int link_within(int tree, const BorrowedLink& borrowed, int parent) {
  const Result<sys::UniqueFd> own = open_parent(tree, borrowed.target);
  if (!own) return own.error().code();
  const int status =
      ::linkat(own->get(), borrowed.target.name.c_str(), parent, borrowed.link.name.c_str(), 0);
  return status == 0 ? 0 : errno;
}

Outcome<void> make_link(int tree, const BorrowedLink& borrowed, const Lookup& lookup,
                        const TreeFormat& format) {
  const std::string what = "entry " + quote(borrowed.link.text()) + ": it is a hard link to " +
                           quote(borrowed.target.text()) + ", ";
  const Result<sys::UniqueFd> parent = open_parent(tree, borrowed.link);
  if (!parent) return refuse(what + "and its directory cannot be opened", parent.error());
  struct stat before;
  if (::fstat(parent->get(), &before) != 0) return refuse(what + "cannot look", Errno::last());
  const int error = link_within(tree, borrowed, parent->get());
  if (error == EEXIST) return {};  // a later entry has the name
  if (error != 0) {
    const Result<std::optional<Found>> found = lookup.find(borrowed.target.text());
    if (!found) return refuse(what + "which cannot be read", found.error());
    if (!*found || S_ISDIR((*found)->status.st_mode)) {
      return refuse(what + "which is no file of the image");
    }
    const Result<void> copied = copy_file(**found, parent->get(), borrowed.link.name, format);
    if (!copied) return refuse(what + "which cannot be copied", copied.error());
  }
  const timespec times[2] = {before.st_atim, before.st_mtim};
  if (::futimens(parent->get(), times) != 0) {
    return refuse(what + "and its directory's times cannot be set", Errno::last());
  }
  return {};
}

Outcome<void> fill_implied(int tree, const std::string& path, const Lookup& lookup,
                           const TreeFormat& format) {
  const std::string what = "directory " + quote(path) + ": ";
  const Result<bool> hidden = lookup.hides(tree, path);
  if (!hidden) return refuse(what + "cannot look at it", hidden.error());
  if (*hidden) return {};
  const Result<std::optional<Found>> found = lookup.find(path);
  if (!found) return refuse(what + "cannot read it in the layers below", found.error());
  if (!*found || !S_ISDIR((*found)->status.st_mode)) return {};
  const std::size_t slash = path.rfind('/');
  const bool top = slash == path.npos;
  const EntryPath here{top ? "" : path.substr(0, slash), top ? path : path.substr(slash + 1)};
  const Result<sys::UniqueFd> parent = open_parent(tree, here);
  if (!parent) return refuse(what + "cannot open it", parent.error());
  const Result<void> copied = copy_attributes((*found)->at(), proc_path(parent->get(), here.name),
                                              (*found)->status, format);
  if (!copied) return refuse(what + "cannot copy its attributes", copied.error());
  return {};
}

}  // namespace

bool needs_layers_below(const TreeNotes& notes) {
  return !notes.implied.empty() || !notes.borrowed.empty();
}

Outcome<void> borrow_from_below(int tree, const TreeNotes& notes, const std::vector<int>& below,
                                const TreeFormat& format) {
  const Lookup lookup(below, format);
  for (const BorrowedLink& link : notes.borrowed) {
    LAYERFS_TRY(make_link(tree, link, lookup, format));
  }
  if (below.empty()) return {};
  struct Fill {
    void down(const std::string& name) { lengths.push_back(path.size()), path += "/" + name; }
    Outcome<void> up(const Present* present) {
      if (sys::interruption_requested()) return sys::interrupted();
      if (present != nullptr) LAYERFS_TRY(fill_implied(tree, path.substr(1), lookup, format));
      if (!lengths.empty()) path.resize(lengths.back()), lengths.pop_back();
      return {};
    }
    const int tree;
    const Lookup& lookup;
    const TreeFormat& format;
    std::string path;
    std::vector<std::size_t> lengths;
  } fill{tree, lookup, format, {}, {}};
  return notes.implied.walk(fill);
}

}  // namespace layerfs::store
