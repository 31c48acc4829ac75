#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "fs/layer/index.h"
#include "fs/layer/index_compare.h"
#include "fs/layer/index_writer.h"
#include "fs/sys/interruption.h"
#include "layerstore/check_parts.h"
#include "layerstore/file_util.h"
#include "layerstore/layer_dir.h"
#include "layerstore/quote.h"
#include "layerstore/tree_writer.h"

namespace layerfs::store {

namespace {

using layer::Index;

// A directory outside of the store: looking must not need the right to write there.
class Scratch {
 public:
  Scratch() {
    std::error_code failed;
    std::string path =
        (std::filesystem::temp_directory_path(failed) / "layerfs-check-XXXXXX").string();
    if (failed || ::mkdtemp(path.data()) == nullptr) return;
    path_ = std::move(path);
    fd_ = sys::UniqueFd(::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() {
    // What cannot be removed is in the directory for temporary files.
    if (!fd_) return;
    for (const std::string& name : list_dir(fd_.get(), ".").value_or(std::vector<std::string>())) {
      static_cast<void>(remove_tree(fd_.get(), name));
    }
    ::rmdir(path_.c_str());
  }

  int fd() const { return fd_.get(); }

 private:
  std::string path_;
  sys::UniqueFd fd_;
};

class LayerCheck {
 public:
  LayerCheck(const StoreDir& store, bool repair, CheckResult& result)
      : store_(store), repair_(repair), result_(result) {}

  void check(const std::string& key) {
    const Outcome<Layer> layer = lease_layer(store_, key);
    if (!layer) {
      if (layer.error().code != ENOENT || is_there(key)) damaged(key, layer.error().sentence);
      return;
    }
    if (layer->diff_id && !key.starts_with("chain.") && !key.starts_with("snap.") &&
        !key.starts_with(layer->diff_id->hex())) {
      damaged(key, "its record is that of the layer " + layer->diff_id->text());
    }
    const Result<sys::UniqueFd> tree = open_dir(layer->lease.get(), kLayerTree);
    if (!tree) return damaged(key, "its tree is gone");
    check_index(*layer, tree->get());
  }

 private:
  bool is_there(const std::string& key) const {
    return has_entry(store_.fd(), std::string(kLayers) + "/" + key);
  }

  void damaged(const std::string& key, const std::string& why) {
    add_problem(result_, Part::kLayer, key,
                "the layer '" + store_.path(std::string(kLayers) + "/" + key) +
                    "' is damaged: " + why +
                    "; remove what uses it and the layer with `layerfs rmi` and `layerfs "
                    "snapshots --rm`, and import the image again");
  }

  void check_index(const Layer& layer, int tree) {
    const Outcome<std::unique_ptr<Index>> index = usable_index(layer, tree);
    if (!index) return bad_index(layer, tree, index.error().sentence);
    const Outcome<void> fresh = layer::write_index(tree, scratch_.fd(), kLayerIndex, user_xattr_);
    if (!fresh) return damaged(layer.key, "it cannot be read: " + fresh.error().sentence);
    const Outcome<std::unique_ptr<Index>> now = Index::open(scratch_.fd(), kLayerIndex);
    if (!now) return damaged(layer.key, "it cannot be compared: " + now.error().sentence);
    const auto difference = layer::first_difference(**index, **now);
    if (!difference) return bad_index(layer, tree, "it contradicts itself");
    if (*difference) {
      damaged(layer.key, "it is not as it was unpacked: " + quote(**difference));
    }
  }

  // One that is whole and was written for this tree.
  Outcome<std::unique_ptr<Index>> usable_index(const Layer& layer, int tree) const {
    LAYERFS_TRY_ASSIGN(std::unique_ptr<Index> index, Index::open(layer.lease.get(), kLayerIndex));
    LAYERFS_TRY(index->verify());
    const Result<bool> describes = index->describes(tree, user_xattr_);
    if (!describes) return refuse("the tree cannot be looked at", describes.error());
    if (!*describes) return refuse("it was written for another tree");
    return index;
  }

  void bad_index(const Layer& layer, int tree, const std::string& why) {
    const bool repaired =
        repair_ && layer::write_index(tree, layer.lease.get(), kLayerIndex, user_xattr_);
    add_problem(result_, Part::kIndex, layer.key,
                "the index of the layer '" + store_.path(std::string(kLayers) + "/" + layer.key) +
                    "' is of no use: " + why + "; the next mount or --repair makes it again",
                repaired);
  }

  const StoreDir& store_;
  const bool repair_;
  const bool user_xattr_ = TreeFormat::for_this_process().user_xattr;
  const Scratch scratch_;
  CheckResult& result_;
};

}  // namespace

Outcome<void> check_layers(const StoreDir& store, bool repair, CheckResult& result) {
  Result<std::vector<std::string>> keys = list_dir(store.fd(), kLayers);
  if (!keys) return refuse("cannot list '" + store.path(kLayers) + "'", keys.error());
  std::ranges::sort(*keys);
  result.layers = keys->size();
  LayerCheck check(store, repair, result);
  for (const std::string& key : *keys) {
    check.check(key);
    if (sys::interruption_requested()) return sys::interrupted();
  }
  return {};
}

}  // namespace layerfs::store
