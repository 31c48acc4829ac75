#include "tools/container/rootfs.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <filesystem>
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
  // Not blocking: whoever made the image may have put a fifo there.
  const auto fd = sys::open_in_root(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  if (!fd && (fd.error().code() == ENOENT || fd.error().code() == ENOTDIR)) return std::string();
  if (!fd) return refuse("the image's " + std::string(path) + " cannot be read", fd.error());
  const auto status = sys::stat_fd(fd->get());
  if (!status || !S_ISREG(status->st_mode) || status->st_size > kLargestFile) {
    return refuse("the image's " + std::string(path) + " is not a file of users; give --user and " +
                  "remove it, or choose another image");
  }
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

}  // namespace layerfs::tools
