#include "layerstore/known_chain.h"

#include <utility>
#include <vector>

#include "layerstore/layer_dir.h"

namespace layerfs::store {

namespace {

std::optional<KnownChain> in_image(const StoreDir& store, const Image& image,
                                   const Digest& chain_id) {
  const std::vector<Digest>& diff_ids = image.config.diff_ids;
  const std::vector<Digest> chain = chain_ids(diff_ids);
  for (std::size_t i = 0; i < chain.size(); ++i) {
    if (chain[i] != chain_id) continue;
    std::optional<std::string> key = find_layer(store, diff_ids[i], chain_id);
    if (!key) return std::nullopt;
    return KnownChain{std::move(*key), i == 0 ? std::nullopt : std::optional(chain[i - 1])};
  }
  return std::nullopt;
}

}  // namespace

std::optional<KnownChain> find_chain(const Store& store, const Digest& chain_id) {
  // A base layer's chain ID is its diffID.
  if (std::optional<std::string> key = find_layer(store.dir(), chain_id, chain_id)) {
    if (*key != chain_key(chain_id)) return KnownChain{std::move(*key), std::nullopt};
    if (const Outcome<Layer> layer = lease_layer(store.dir(), *key)) {
      return KnownChain{std::move(*key), layer->parent_chain};
    }
  }
  std::vector<std::string> problems;
  const Outcome<std::vector<Image>> images = store.images(problems);
  if (!images) return std::nullopt;
  for (const Image& image : *images) {
    if (auto found = in_image(store.dir(), image, chain_id)) return found;
  }
  return std::nullopt;
}

}  // namespace layerfs::store
