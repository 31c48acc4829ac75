#include "tools/container/rootfs.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <filesystem>
#include <iterator>
#include <span>

#include "fs/sys/file.h"
#include "layerstore/quote.h"

namespace layerfs::tools {

namespace {

constexpr off_t kLargestFile = 16 << 20;

Outcome<sys::UniqueFd> open_root(const std::string& rootfs) {
  auto root = sys::open_path(rootfs.c_str(), O_PATH | O_DIRECTORY);
  if (!root) return refuse("the container's root " + rootfs + " cannot be opened", root.error());
  return std::move(*root);
}

// "" if it is not there.
Outcome<std::string> read_in_root(int root, const char* path) {
  const auto failed = [&](Errno error) {
    return refuse("the image's " + std::string(path) + " cannot be read", error);
  };
  // What it is is known before it is opened: whoever made the image may have put a device there.
  const auto entry = sys::open_in_root(root, path, O_PATH);
  if (!entry && (entry.error().code() == ENOENT || entry.error().code() == ENOTDIR))
    return std::string();
  if (!entry) return failed(entry.error());
  const auto status = sys::stat_fd(entry->get());
  if (!status || !S_ISREG(status->st_mode) || status->st_size > kLargestFile) {
    return refuse("the image's " + std::string(path) + " is not a file of users; give --user and " +
                  "remove it, or choose another image");
  }
  const auto fd = sys::reopen(entry->get(), O_RDONLY);
  if (!fd) return failed(fd.error());
  std::string text(static_cast<std::size_t>(status->st_size), '\0');
  const auto got = sys::read_at(fd->get(), std::as_writable_bytes(std::span(text)), 0);
  if (!got) return refuse("the image's " + std::string(path) + " cannot be read", got.error());
  text.resize(*got);
  return text;
}

}  // namespace

Outcome<UserFiles> read_user_files(const std::string& rootfs) {
  LAYERFS_TRY_ASSIGN(const sys::UniqueFd root, open_root(rootfs));
  UserFiles files;
  LAYERFS_TRY_ASSIGN(files.passwd, read_in_root(root.get(), "etc/passwd"));
  LAYERFS_TRY_ASSIGN(files.group, read_in_root(root.get(), "etc/group"));
  return files;
}

Outcome<void> make_directories(const std::string& rootfs, const std::string& path) {
  LAYERFS_TRY_ASSIGN(const sys::UniqueFd root, open_root(rootfs));
  std::filesystem::path so_far = "/";
  for (const auto& name : std::filesystem::path(path).lexically_normal().relative_path()) {
    if (name.empty() || name == "." || name == "..") continue;
    const std::filesystem::path next = so_far / name;
    if (!sys::open_in_root(root.get(), next.c_str(), O_PATH | O_DIRECTORY)) {
      const auto parent = sys::open_in_root(root.get(), so_far.c_str(), O_PATH | O_DIRECTORY);
      const auto made = parent ? sys::make_dir(parent->get(), name.c_str(), 0755)
                               : Result<void>(fail(parent.error()));
      if (!made) {
        return refuse("the directory " + store::quote(path) + " cannot be made in the container",
                      made.error());
      }
    }
    so_far = next;
  }
  return {};
}

namespace {

enum class Kind { kDirectory, kFile };

// One step below `parent`: an O_PATH descriptor of `name`, made if it is missing. Never a symlink's
// target: where a file is wanted one takes the symlink's place.
Result<sys::UniqueFd> step(int parent, const std::string& name, Kind kind, bool look_only) {
  auto there = sys::open_entry(parent, name.c_str());
  if (look_only || (!there && there.error() != Errno(ENOENT))) return there;
  if (there) {
    LAYERFS_TRY_ASSIGN(const struct stat st, sys::stat_fd(there->get()));
    if (kind == Kind::kDirectory || !S_ISLNK(st.st_mode)) return there;
    LAYERFS_TRY(sys::unlink_at(parent, name.c_str()));
  }
  if (kind == Kind::kDirectory) {
    LAYERFS_TRY(sys::make_dir(parent, name.c_str(), 0755));
  } else {
    LAYERFS_TRY(sys::open_beneath(parent, name.c_str(), O_WRONLY | O_CREAT | O_EXCL, 0644));
  }
  return sys::open_entry(parent, name.c_str());
}

Outcome<void> check_kind(const sys::UniqueFd& fd, Kind kind, const std::string& path) {
  const auto st = sys::stat_fd(fd.get());
  if (!st) return refuse("the image's " + store::quote(path) + " cannot be read", st.error());
  if (S_ISLNK(st->st_mode)) {
    return refuse("the image's " + store::quote(path) +
                      " is a symlink, which the runtime would follow out of the image; make it a "
                      "directory (`layerfs mount --snapshot NAME`, then `layerfs run --snapshot "
                      "NAME`), or choose another image",
                  ELOOP);
  }
  if ((kind == Kind::kDirectory) != S_ISDIR(st->st_mode)) {
    return refuse("the image's " + store::quote(path) + " is no " +
                      (kind == Kind::kDirectory ? "directory" : "file") +
                      ", and the container needs one there; choose another image",
                  kind == Kind::kDirectory ? ENOTDIR : EISDIR);
  }
  return {};
}

Outcome<void> make_mount_point(int root, const std::string& path, Kind last, bool look_only) {
  auto at = sys::duplicate(root);
  std::string so_far;
  const auto relative = std::filesystem::path(path).lexically_normal().relative_path();
  for (auto part = relative.begin(); at && part != relative.end(); ++part) {
    if (part->empty() || *part == "." || *part == "..") continue;
    const Kind kind = std::next(part) == relative.end() ? last : Kind::kDirectory;
    so_far += "/" + part->string();
    at = step(at->get(), part->string(), kind, look_only);
    if (!at && look_only && at.error() == Errno(ENOENT)) return {};
    if (at) LAYERFS_TRY(check_kind(*at, kind, so_far));
  }
  if (at) return {};
  return refuse(store::quote(path) + " cannot be made in the container", at.error());
}

}  // namespace

Outcome<void> make_mount_points(const std::string& rootfs, const MountPoints& wanted,
                                bool look_only) {
  LAYERFS_TRY_ASSIGN(const sys::UniqueFd root, open_root(rootfs));
  for (const std::string& path : wanted.directories)
    LAYERFS_TRY(make_mount_point(root.get(), path, Kind::kDirectory, look_only));
  for (const std::string& path : wanted.files)
    LAYERFS_TRY(make_mount_point(root.get(), path, Kind::kFile, look_only));
  return {};
}

Outcome<std::string> real_path_in(const std::string& rootfs, const std::string& path) {
  LAYERFS_TRY_ASSIGN(const sys::UniqueFd root, open_root(rootfs));
  // The longest part that is there, and what is to be made behind it.
  std::filesystem::path there = std::filesystem::path(path).lexically_normal();
  std::filesystem::path missing;
  for (;;) {
    const auto fd = sys::open_in_root(root.get(), there.c_str(), O_PATH);
    const auto base = sys::readlink_at(AT_FDCWD, sys::fd_path(root.get()).c_str());
    if (fd && base) {
      const auto real = sys::readlink_at(AT_FDCWD, sys::fd_path(fd->get()).c_str());
      if (real && (*real == *base || real->starts_with(*base + "/"))) {
        const std::filesystem::path found("/" + real->substr(base->size()));
        return (missing.empty() ? found : found / missing).lexically_normal().string();
      }
    }
    if (!there.has_relative_path()) {
      return refuse(store::quote(path) + " cannot be found in the container",
                    fd ? Errno(EIO) : fd.error());
    }
    missing = missing.empty() ? there.filename() : there.filename() / missing;
    there = there.parent_path();
  }
}

}  // namespace layerfs::tools
