// Layers by their chain ID (OCI image-spec, config.md): what containerd calls them.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "layerstore/digest.h"
#include "layerstore/store.h"

namespace layerfs::store {

struct KnownChain {
  std::string key;                     // of the unpacked layer at its top
  std::optional<Digest> parent_chain;  // nothing for a base layer
};

// Finds layers by their chain ID. The images are read once, and again when the list of them has
// changed. Thread-safe.
class KnownChains {
 public:
  // The unpacked layer whose chain ID this is: one that was stored under it, a base layer, or one
  // that an image's configuration leads to. Nothing if the store has none, or cannot tell: images
  // that cannot be read are passed over.
  std::optional<KnownChain> find(const Store& store, const Digest& chain_id);

 private:
  struct Step {
    Digest diff_id;
    std::optional<Digest> parent_chain;
  };
  std::optional<Step> step(const Store& store, const Digest& chain_id);
  bool read_images(const Store& store);  // false: not all

  // By what a list of images differs from the one that was there before.
  struct Version {
    ino_t ino = 0;
    off_t size = 0;
    std::int64_t seconds = 0;
    std::int64_t nanoseconds = 0;
    friend bool operator==(const Version&, const Version&) = default;
  };

  std::mutex mutex_;
  std::optional<Version> version_;  // guarded by mutex_; of what steps_ comes from
  std::map<Digest, Step> steps_;    // guarded by mutex_; by chain ID
};

}  // namespace layerfs::store
