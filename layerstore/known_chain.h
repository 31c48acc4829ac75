// Layers by their chain ID (OCI image-spec, config.md): what containerd calls them.
#pragma once

#include <optional>
#include <string>

#include "layerstore/digest.h"
#include "layerstore/store.h"

namespace layerfs::store {

struct KnownChain {
  std::string key;                     // of the unpacked layer at its top
  std::optional<Digest> parent_chain;  // nothing for a base layer
};

// The unpacked layer whose chain ID this is: one that was stored under it, a base layer, or one
// that an image's configuration leads to. Nothing if the store has none, or cannot tell: images
// that cannot be read are passed over.
std::optional<KnownChain> find_chain(const Store& store, const Digest& chain_id);

}  // namespace layerfs::store
