#include "fs/layer/layer.h"

#include <fcntl.h>

#include "fs/sys/file.h"
#include "fs/sys/mount.h"

namespace layerfs::layer {

Outcome<std::unique_ptr<Layer>> Layer::open(const std::string& path) {
  auto directory = sys::open_path(path.c_str(), O_PATH | O_DIRECTORY);
  if (!directory)
    return refuse("lowerdir '" + path + "' cannot be opened as a directory", directory.error());
  auto layer = std::unique_ptr<Layer>(new Layer);
  layer->path_ = path;
  // The clone is taken from the opened directory, so that both are the same one.
  auto clone = sys::open_read_only_clone(sys::fd_path(directory->get()).c_str());
  layer->root_ = clone ? std::move(*clone) : std::move(*directory);
  auto st = sys::stat_fd(layer->root_.get());
  if (!st) return refuse("lowerdir '" + path + "' cannot be read", st.error());
  layer->device_ = st->st_dev;
  return layer;
}

}  // namespace layerfs::layer
