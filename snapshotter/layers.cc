#include "snapshotter/layers.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include <spdlog/spdlog.h>

#include "layerstore/collect.h"
#include "layerstore/file_util.h"

namespace layerfs::snapshotter {

namespace {

constexpr const char* kOwner = "containerd";

}  // namespace

Answer<std::unique_ptr<Layers>> Layers::open(const store::Store& store) {
  LAYERFS_TRY_ASSIGN(store::Pins pins, store::Pins::open(store.dir(), kOwner));
  return std::unique_ptr<Layers>(new Layers(store, std::move(pins)));
}

Answer<Layers::Locked> Layers::lock() {
  std::unique_lock lock(layers_mutex_);
  LAYERFS_TRY_ASSIGN(sys::UniqueFd adding, store_.dir().lock_for_adding());
  return Locked(std::move(lock), std::move(adding));
}

Answer<LayerFacts> Layers::facts(const std::string& key) {
  {
    const std::lock_guard lock(mutex_);
    if (const auto known = facts_.find(key); known != facts_.end()) return known->second;
  }
  const Outcome<store::Layer> layer = store::lease_layer(store_.dir(), key);
  if (!layer) {
    // Lost or broken; all else may be better the next time.
    const bool lost = layer.error().code == ENOENT || layer.error().code == 0;
    if (!lost) return tl::make_unexpected(Refusal(layer.error()));
    return deny(Code::kFailedPrecondition, layer.error().sentence);
  }
  const LayerFacts facts{layer->has_root, layer->opaque_root,
                         layer->ownership == store::Ownership::kReal};
  const std::lock_guard lock(mutex_);
  facts_.emplace(key, facts);
  return facts;
}

std::string Layers::directory(const std::string& key) {
  return std::string(store::kLayers) + "/" + key;
}

std::string Layers::tree(const std::string& key) const {
  return store_.dir().path(directory(key)) + "/" + store::kLayerTree;
}

std::string Layers::index(const std::string& key) const {
  const std::string name = directory(key) + "/" + store::kLayerIndex;
  return store::open_file(store_.dir().fd(), name, O_RDONLY) ? store_.dir().path(name) : "";
}

std::optional<store::KnownChain> Layers::find(const store::Digest& chain) {
  return chains_.find(store_, chain);
}

Answer<void> Layers::pin(const Locked&, const std::string& key) {
  LAYERFS_TRY(pins_.add(key));
  return {};
}

void Layers::unpin(const Locked&, const std::string& key) {
  if (const Outcome<void> removed = pins_.remove(key); !removed) {
    spdlog::warn("{}", removed.error().sentence);
  }
  const std::lock_guard lock(mutex_);
  unpinned_.insert(key);
  facts_.erase(key);
}

Answer<void> Layers::pin_exactly(const Locked& locked, const std::set<std::string>& keys) {
  LAYERFS_TRY_ASSIGN(const std::set<std::string> pinned, pins_.keys());
  for (const std::string& key : keys) {
    if (!pinned.contains(key)) LAYERFS_TRY(pin(locked, key));
  }
  for (const std::string& key : pinned) {
    if (!keys.contains(key)) unpin(locked, key);
  }
  const Result<std::vector<std::string>> present =
      store::list_dir(store_.dir().fd(), store::kLayers);
  if (!present) {
    return refuse("cannot list '" + store_.dir().path(store::kLayers) + "'", present.error());
  }
  const std::lock_guard lock(mutex_);
  for (const std::string& key : *present) {
    if (!keys.contains(key)) unpinned_.insert(key);
  }
  return {};
}

Answer<void> Layers::collect() {
  std::set<std::string> keys;
  {
    const std::lock_guard lock(mutex_);
    keys.swap(unpinned_);
  }
  if (keys.empty()) return {};
  Outcome<store::Collected> collected =
      store::collect_layers(store_, {keys.begin(), keys.end()}, false);
  if (collected && !collected->busy) return {};
  {
    const std::lock_guard lock(mutex_);
    unpinned_.merge(keys);
  }
  if (!collected) return tl::make_unexpected(std::move(collected.error()));
  return {};
}

}  // namespace layerfs::snapshotter
