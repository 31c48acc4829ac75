#include "fs/layer/whiteouts.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <optional>
#include <span>
#include <string>

#include "fs/sys/file.h"
#include "fs/sys/unique_fd.h"

// containers-storage, the library of podman and buildah, keeps a layer so:
//
//   HOME/ID/diff                 the layer's root
//   HOME/ID/link                 a file that holds a short name, and HOME/l/SHORT -> ../ID/diff
//   HOME/ID/work                 the work directory where diff is an upper
//   HOME/../overlay-layers/ID.tar-split.gz, and the directory ID
//                                what is kept of the archive that was unpacked into diff
//
// It unpacks in the AUFS dialect where a mount program serves it. What a container writes goes to
// the `diff` of a layer that nothing is unpacked into, and whose `work` the mount has used.

namespace layerfs::layer {
namespace {

struct StoredLayer {
  bool was_unpacked = false;  // there is a record of an archive
  bool was_upper = false;
};

// Of a look: nothing there, or nothing that the caller may see.
bool is_absence(Errno error) {
  return error == Errno(ENOENT) || error == Errno(ENOTDIR) || error == Errno(EACCES) ||
         error == Errno(EINVAL);
}

Result<std::optional<struct stat>> look(int dirfd, const std::string& name) {
  const auto st = sys::stat_at(dirfd, name.c_str());
  if (st) return *st;
  if (is_absence(st.error()) || st.error() == Errno(ENAMETOOLONG)) return std::nullopt;
  return fail(st.error());
}

Result<sys::UniqueFd> open_parent(int dirfd) { return sys::open_entry(dirfd, ".."); }

bool is_same(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

// The content of `link`: 26 letters and digits. Empty if it is none.
Result<std::string> read_short_name(int dirfd) {
  LAYERFS_TRY_ASSIGN(const sys::UniqueFd fd,
                     sys::open_beneath(dirfd, "link", O_RDONLY | O_NONBLOCK));
  std::array<std::byte, 64> buffer = {};
  LAYERFS_TRY_ASSIGN(const std::size_t size, sys::read_at(fd.get(), buffer, 0));
  const std::string name(reinterpret_cast<const char*>(buffer.data()), size);
  if (size == buffer.size() || name.find('/') != std::string::npos || name.starts_with('.'))
    return std::string();
  return name;
}

// ID, by way of the short name, which has to lead back to `dir`.
Result<std::string> read_id(int home, int dir) {
  LAYERFS_TRY_ASSIGN(const std::string name, read_short_name(dir));
  if (name.empty()) return fail(ENOENT);
  LAYERFS_TRY_ASSIGN(const std::string target, sys::readlink_at(home, ("l/" + name).c_str()));
  constexpr std::string_view kBefore = "../", kAfter = "/diff";
  if (!target.starts_with(kBefore) || !target.ends_with(kAfter)) return fail(ENOENT);
  const std::string id =
      target.substr(kBefore.size(), target.size() - kBefore.size() - kAfter.size());
  if (id.empty() || id.find('/') != std::string::npos) return fail(ENOENT);
  LAYERFS_TRY_ASSIGN(const struct stat there, sys::stat_at(home, id.c_str()));
  LAYERFS_TRY_ASSIGN(const struct stat here, sys::stat_fd(dir));
  if (!is_same(there, here)) return fail(ENOENT);
  return id;
}

Result<StoredLayer> read_records(int dir) {
  LAYERFS_TRY_ASSIGN(const sys::UniqueFd home, open_parent(dir));
  LAYERFS_TRY_ASSIGN(const std::string id, read_id(home.get(), dir));
  LAYERFS_TRY_ASSIGN(const sys::UniqueFd graph_root, open_parent(home.get()));
  const std::string records = "overlay-layers/" + id;
  LAYERFS_TRY_ASSIGN(const auto archive, look(graph_root.get(), records + ".tar-split.gz"));
  LAYERFS_TRY_ASSIGN(const auto items, look(graph_root.get(), records));
  LAYERFS_TRY_ASSIGN(const auto used, look(dir, "work/work"));
  return StoredLayer{archive.has_value() || items.has_value(), used.has_value()};
}

// Nothing: `root` is no layer of containers-storage.
Result<std::optional<StoredLayer>> find_stored_layer(int root) {
  const auto dir = open_parent(root);
  if (!dir && is_absence(dir.error())) return std::nullopt;
  if (!dir) return fail(dir.error());
  LAYERFS_TRY_ASSIGN(const auto link, look(dir->get(), "link"));
  if (!link || !S_ISREG(link->st_mode)) return std::nullopt;
  LAYERFS_TRY_ASSIGN(const struct stat self, sys::stat_fd(root));
  LAYERFS_TRY_ASSIGN(const auto diff, look(dir->get(), "diff"));
  LAYERFS_TRY_ASSIGN(const struct stat owner, sys::stat_fd(dir->get()));
  // Where others may make names, `link` may be one of theirs.
  const bool others_write = (owner.st_mode & (S_IWGRP | S_IWOTH)) != 0;
  if (!diff || !is_same(*diff, self) || others_write) return std::nullopt;
  auto records = read_records(dir->get());
  if (records) return *records;
  if (is_absence(records.error())) return std::nullopt;
  return fail(records.error());
}

}  // namespace

std::optional<Whiteouts> whiteouts_named(std::string_view name) {
  if (name == "overlay") return Whiteouts::kOverlay;
  if (name == "aufs") return Whiteouts::kAufs;
  return std::nullopt;
}

Result<Whiteouts> find_whiteouts(int root) {
  LAYERFS_TRY_ASSIGN(const auto layer, find_stored_layer(root));
  const bool aufs = layer && (layer->was_unpacked || !layer->was_upper);
  return aufs ? Whiteouts::kAufs : Whiteouts::kOverlay;
}

Result<Whiteouts> find_upper_whiteouts(int root) {
  LAYERFS_TRY_ASSIGN(const auto layer, find_stored_layer(root));
  return layer && layer->was_unpacked ? Whiteouts::kAufs : Whiteouts::kOverlay;
}

}  // namespace layerfs::layer
