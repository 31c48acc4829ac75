#include "layerstore/layer_index.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>

#include "fs/layer/index.h"
#include "fs/layer/index_writer.h"
#include "fs/sys/unique_fd.h"
#include "layerstore/file_util.h"
#include "layerstore/layer_dir.h"
#include "layerstore/tree_writer.h"

namespace layerfs::store {
namespace {

Outcome<sys::UniqueFd> open_tree(int layer_dir) {
  Result<sys::UniqueFd> tree = open_dir(layer_dir, kLayerTree);
  if (!tree) return refuse_entry("its tree cannot be opened", tree.error());
  return std::move(*tree);
}

Outcome<void> write_index_in(int layer_dir) {
  LAYERFS_TRY_ASSIGN(const sys::UniqueFd tree, open_tree(layer_dir));
  return layer::write_index(tree.get(), layer_dir, kLayerIndex,
                            TreeFormat::for_this_process().user_xattr);
}

bool has_index(int layer_dir) {
  const auto index = layer::Index::open(layer_dir, kLayerIndex);
  if (!index) return false;
  const auto tree = open_tree(layer_dir);
  if (!tree) return false;
  const auto describes =
      (*index)->describes(tree->get(), TreeFormat::for_this_process().user_xattr);
  return describes && *describes;
}

Outcome<void> write_index_at(const LayerPlace& layer) {
  const Result<sys::UniqueFd> dir = open_dir(layer.dirfd, layer.path);
  if (!dir) return refuse_entry("it cannot be opened", dir.error());
  try {
    return write_index_in(dir->get());
  } catch (const std::exception& error) {
    return refuse(error.what(), ENOMEM);
  }
}

}  // namespace

std::vector<std::string> index_layers(const std::vector<LayerPlace>& layers, unsigned threads) {
  std::atomic<std::size_t> next{0};
  std::mutex mutex;
  std::vector<std::string> sentences;
  const auto work = [&] {
    for (std::size_t i = next++; i < layers.size(); i = next++) {
      const Outcome<void> written = write_index_at(layers[i]);
      if (written) continue;
      const std::lock_guard lock(mutex);
      sentences.push_back("the layer in '" + layers[i].path +
                          "' has no index: " + written.error().sentence);
    }
  };
  {
    std::vector<std::jthread> workers;
    const std::size_t count = std::min<std::size_t>(threads, layers.size());
    for (std::size_t i = 1; i < count; ++i) workers.emplace_back(work);
    work();
  }
  return sentences;
}

Outcome<void> ensure_index(const Layer& layer) {
  if (has_index(layer.lease.get())) return {};
  return write_index_in(layer.lease.get());
}

}  // namespace layerfs::store
