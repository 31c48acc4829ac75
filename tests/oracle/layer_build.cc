#include "tests/oracle/layer_build.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <filesystem>
#include <set>

#include <fmt/format.h>

#include "fs/sys/unique_fd.h"

namespace layerfs::oracle {
namespace {

constexpr int64_t kSparseEdge = 4096;

std::string parent_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? std::string() : path.substr(0, slash);
}

std::string base_of(const std::string& path) { return path.substr(path.rfind('/') + 1); }

timespec time_of(int64_t seconds) { return {seconds, (seconds & 0xfff) * 1000}; }

class Builder {
 public:
  Builder(const LayerTree& layer, std::string dir, Encoding encoding, bool userxattr)
      : layer_(layer),
        dir_(std::move(dir)),
        encoding_(encoding),
        xattr_prefix_(userxattr ? "user.overlay." : "trusted.overlay.") {}

  Outcome<void> build() {
    for (const Entry& entry : layer_)
      if (entry.kind == EntryKind::kDir) LAYERFS_TRY(make_dirs(entry.path));
    for (const Entry& entry : layer_) {
      if (entry.kind == EntryKind::kHardLink) continue;
      LAYERFS_TRY(make_dirs(parent_of(entry.path)));
      LAYERFS_TRY(make(entry));
    }
    for (const Entry& entry : layer_)
      if (entry.kind == EntryKind::kHardLink) LAYERFS_TRY(make_hard_link(entry));
    return set_times();
  }

  Outcome<void> reencode() {
    encoding_ = Encoding::kDevice;
    for (const Entry& entry : layer_) {
      if (entry.kind == EntryKind::kWhiteout) {
        ::unlink(full(aufs_name(entry.path)).c_str());
        LAYERFS_TRY(make_whiteout(entry));
      } else if (entry.opaque) {
        ::unlink(full(entry.path + "/.wh..wh..opq").c_str());
        LAYERFS_TRY(make_opaque(entry));
      }
      for (std::string dir = parent_of(entry.path); !dir.empty(); dir = parent_of(dir))
        dirs_.insert(dir);
      if (entry.kind == EntryKind::kDir) dirs_.insert(entry.path);
    }
    return set_times();
  }

 private:
  std::string full(const std::string& path) const {
    return path.empty() ? dir_ : dir_ + "/" + path;
  }

  static std::string aufs_name(const std::string& path) {
    const std::string parent = parent_of(path);
    return (parent.empty() ? "" : parent + "/") + ".wh." + base_of(path);
  }

  Outcome<void> check(int result, const std::string& what, const std::string& path) const {
    if (result >= 0) return {};
    return refuse(fmt::format("a layer cannot be built: {} {}", what, full(path)), Errno::last());
  }

  Outcome<void> make_dirs(const std::string& path) {
    if (path.empty() || !dirs_.insert(path).second) return {};
    LAYERFS_TRY(make_dirs(parent_of(path)));
    const int made = ::mkdir(full(path).c_str(), 0755);
    return made != 0 && errno == EEXIST ? Outcome<void>() : check(made, "mkdir", path);
  }

  Outcome<void> make(const Entry& entry) {
    const std::string path = full(entry.path);
    switch (entry.kind) {
      case EntryKind::kWhiteout:
        return make_whiteout(entry);
      case EntryKind::kFile:
        LAYERFS_TRY(write_file(entry));
        break;
      case EntryKind::kSymlink:
        LAYERFS_TRY(check(::symlink(entry.target.c_str(), path.c_str()), "symlink", entry.path));
        break;
      case EntryKind::kDevice:
        LAYERFS_TRY(check(::mknod(path.c_str(), static_cast<mode_t>(entry.mode),
                                  static_cast<dev_t>(entry.device)),
                          "mknod", entry.path));
        break;
      case EntryKind::kDir:
        if (entry.opaque) LAYERFS_TRY(make_opaque(entry));
        break;
      case EntryKind::kHardLink:
        break;
    }
    return set_attributes(entry);
  }

  Outcome<void> write_file(const Entry& entry) {
    const sys::UniqueFd fd(::open(full(entry.path).c_str(), O_CREAT | O_EXCL | O_WRONLY, 0600));
    LAYERFS_TRY(check(fd.get(), "open", entry.path));
    LAYERFS_TRY(check(::ftruncate(fd.get(), entry.size), "ftruncate", entry.path));
    if (!entry.sparse || entry.size <= 2 * kSparseEdge)
      return write_range(fd.get(), entry, 0, entry.size);
    LAYERFS_TRY(write_range(fd.get(), entry, 0, kSparseEdge));
    return write_range(fd.get(), entry, entry.size - kSparseEdge, kSparseEdge);
  }

  Outcome<void> write_range(int fd, const Entry& entry, int64_t off, int64_t len) {
    const std::string bytes = pattern(entry.fill, off, len);
    const ssize_t written = ::pwrite(fd, bytes.data(), bytes.size(), off);
    return check(written == len ? 0 : -1, "pwrite", entry.path);
  }

  Outcome<void> make_whiteout(const Entry& entry) {
    if (encoding_ == Encoding::kDevice)
      return check(::mknod(full(entry.path).c_str(), S_IFCHR, 0), "mknod", entry.path);
    const std::string path = encoding_ == Encoding::kAufs ? aufs_name(entry.path) : entry.path;
    const sys::UniqueFd fd(::open(full(path).c_str(), O_CREAT | O_EXCL | O_WRONLY, 0));
    LAYERFS_TRY(check(fd.get(), "open", path));
    if (encoding_ == Encoding::kAufs) return {};
    LAYERFS_TRY(check(::fsetxattr(fd.get(), mark("whiteout").c_str(), "", 0, 0), "setxattr", path));
    // A directory that is opaque itself keeps that mark: nothing below it needs a whiteout.
    ::setxattr(full(parent_of(path)).c_str(), mark("opaque").c_str(), "x", 1, XATTR_CREATE);
    ::setxattr(dir_.c_str(), mark("opaque").c_str(), "x", 1, XATTR_CREATE);
    return {};
  }

  Outcome<void> make_opaque(const Entry& entry) {
    if (encoding_ != Encoding::kAufs)
      return check(::setxattr(full(entry.path).c_str(), mark("opaque").c_str(), "y", 1, 0),
                   "setxattr", entry.path);
    const sys::UniqueFd fd(
        ::open(full(entry.path + "/.wh..wh..opq").c_str(), O_CREAT | O_WRONLY, 0));
    return check(fd.get(), "open", entry.path);
  }

  Outcome<void> make_hard_link(const Entry& entry) {
    LAYERFS_TRY(make_dirs(parent_of(entry.path)));
    const int made = ::link(full(entry.target).c_str(), full(entry.path).c_str());
    return made != 0 && errno == ENOENT ? Outcome<void>() : check(made, "link", entry.path);
  }

  Outcome<void> set_attributes(const Entry& entry) {
    const std::string path = full(entry.path);
    LAYERFS_TRY(
        check(::lchown(path.c_str(), static_cast<uid_t>(entry.uid), static_cast<gid_t>(entry.gid)),
              "lchown", entry.path));
    if (entry.kind != EntryKind::kSymlink)
      LAYERFS_TRY(check(::chmod(path.c_str(), static_cast<mode_t>(entry.mode & 07777)), "chmod",
                        entry.path));
    for (const Word& xattr : entry.xattrs)
      LAYERFS_TRY(check(
          ::lsetxattr(path.c_str(), xattr.key.c_str(), xattr.value.data(), xattr.value.size(), 0),
          "lsetxattr " + xattr.key, entry.path));
    return {};
  }

  Outcome<void> set_time(const std::string& path, int64_t seconds) {
    const timespec times[2] = {time_of(seconds + 1), time_of(seconds)};
    const int set = ::utimensat(AT_FDCWD, full(path).c_str(), times, AT_SYMLINK_NOFOLLOW);
    return set != 0 && errno == ENOENT ? Outcome<void>() : check(set, "utimensat", path);
  }

  Outcome<void> set_times() {
    const Entry defaults;
    LAYERFS_TRY(set_time("", defaults.mtime));
    for (const std::string& dir : dirs_) LAYERFS_TRY(set_time(dir, defaults.mtime));
    for (const Entry& entry : layer_) {
      if (entry.kind == EntryKind::kHardLink || entry.kind == EntryKind::kWhiteout) continue;
      LAYERFS_TRY(set_time(entry.path, entry.mtime));
    }
    return {};
  }

  std::string mark(const char* name) const { return xattr_prefix_ + name; }

  const LayerTree& layer_;
  const std::string dir_;
  Encoding encoding_;
  const std::string xattr_prefix_;
  std::set<std::string> dirs_;  // made, relative
};

}  // namespace

Outcome<void> build_layer(const LayerTree& layer, const std::string& dir, Encoding encoding,
                          bool userxattr) {
  return Builder(layer, dir, encoding, userxattr).build();
}

Outcome<void> reencode_as_devices(const LayerTree& layer, const std::string& dir, bool userxattr) {
  return Builder(layer, dir, Encoding::kAufs, userxattr).reencode();
}

}  // namespace layerfs::oracle
