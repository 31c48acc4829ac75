#include "layerstore/known_chain.h"

#include <utility>
#include <vector>

#include "layerstore/file_util.h"
#include "layerstore/layer_dir.h"

namespace layerfs::store {

std::optional<KnownChain> KnownChains::find(const Store& store, const Digest& chain_id) {
  // A base layer's chain ID is its diffID.
  if (std::optional<std::string> key = find_layer(store.dir(), chain_id, chain_id)) {
    if (*key != chain_key(chain_id)) return KnownChain{std::move(*key), std::nullopt};
    if (const Outcome<Layer> layer = lease_layer(store.dir(), *key)) {
      return KnownChain{std::move(*key), layer->parent_chain};
    }
  }
  std::optional<Step> known = step(store, chain_id);
  if (!known) return std::nullopt;
  std::optional<std::string> key = find_layer(store.dir(), known->diff_id, chain_id);
  if (!key) return std::nullopt;
  return KnownChain{std::move(*key), std::move(known->parent_chain)};
}

std::optional<KnownChains::Step> KnownChains::step(const Store& store, const Digest& chain_id) {
  const Result<struct stat> st = stat_entry(store.dir().fd(), "index.json");
  if (!st) return std::nullopt;
  const Version now{st->st_ino, st->st_size, st->st_mtim.tv_sec, st->st_mtim.tv_nsec};
  const std::lock_guard lock(mutex_);
  if (version_ != now) {
    // As it was before they were read: what has changed since is seen the next time. So is what
    // could not be read.
    version_ = read_images(store) ? std::optional(now) : std::nullopt;
  }
  const auto found = steps_.find(chain_id);
  return found == steps_.end() ? std::nullopt : std::optional(found->second);
}

bool KnownChains::read_images(const Store& store) {
  steps_.clear();
  std::vector<std::string> problems;
  const Outcome<std::vector<Image>> images = store.images(problems);
  if (!images) return false;
  for (const Image& image : *images) {
    const std::vector<Digest>& diff_ids = image.config.diff_ids;
    const std::vector<Digest> chain = chain_ids(diff_ids);
    for (std::size_t i = 0; i < chain.size(); ++i) {
      steps_.emplace(chain[i],
                     Step{diff_ids[i], i == 0 ? std::nullopt : std::optional(chain[i - 1])});
    }
  }
  return problems.empty();
}

}  // namespace layerfs::store
