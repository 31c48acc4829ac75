#include "fs/layer/layer.h"

#include <fcntl.h>

#include <spdlog/spdlog.h>

#include "fs/sys/file.h"
#include "fs/sys/mount.h"

namespace layerfs::layer {
namespace {

std::unique_ptr<Index> open_index(const std::string& path, int root, bool user_xattr,
                                  Whiteouts whiteouts) {
  auto index = Index::open(AT_FDCWD, path.c_str());
  if (!index) {
    if (index.error().code != ENOENT) spdlog::warn("{}; it is not used", index.error().sentence);
    return nullptr;
  }
  const auto describes = (*index)->describes(root, user_xattr, whiteouts);
  if (describes && *describes) return std::move(*index);
  spdlog::warn("the layer index '{}' is not of the layer as it is now; it is not used", path);
  return nullptr;
}

Outcome<Whiteouts> whiteouts_of(const LayerSource& source, int root) {
  if (source.whiteouts) return *source.whiteouts;
  const auto found = find_whiteouts(root);
  if (!found)
    return refuse("it cannot be seen who wrote lowerdir '" + source.path +
                      "'; the option whiteouts=overlay or whiteouts=aufs says it",
                  found.error());
  return *found;
}

}  // namespace

Outcome<std::unique_ptr<Layer>> Layer::open(const LayerSource& source, bool user_xattr,
                                            const RecordedOwners& owners, Observer& observer) {
  const std::string& path = source.path;
  auto directory = sys::open_path(path.c_str(), O_PATH | O_DIRECTORY);
  if (!directory)
    return refuse("lowerdir '" + path + "' cannot be opened as a directory", directory.error());
  auto layer = std::unique_ptr<Layer>(new Layer);
  layer->path_ = path;
  LAYERFS_TRY_ASSIGN(layer->whiteouts_, whiteouts_of(source, directory->get()));
  // The clone is taken from the opened directory, so that both are the same one.
  auto clone = sys::open_read_only_clone(sys::fd_path(directory->get()).c_str());
  layer->shows_mounts_ = !clone;
  layer->root_ = clone ? std::move(*clone) : std::move(*directory);
  auto st = sys::stat_fd(layer->root_.get());
  if (!st) return refuse("lowerdir '" + path + "' cannot be read", st.error());
  layer->device_ = st->st_dev;
  if (!source.index.empty())
    layer->index_ = open_index(source.index, layer->root_.get(), user_xattr, layer->whiteouts_);
  layer->reporter_ = Reporter(observer, path, layer->root_.get());
  const auto recorded = OwnerRecords::find(sys::At(layer->root_.get()), owners, layer->reporter_);
  if (!recorded)
    return refuse("the xattrs of lowerdir '" + path + "' cannot be listed", recorded.error());
  if (*recorded != RecordKind::kNone)
    layer->records_ = OwnerRecords(*recorded, owners, layer->reporter_);
  return layer;
}

}  // namespace layerfs::layer
