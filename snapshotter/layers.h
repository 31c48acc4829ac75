// The store's layers, as the snapshotter uses them.
#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "layerstore/known_chain.h"
#include "layerstore/layer_dir.h"
#include "layerstore/pins.h"
#include "layerstore/store.h"
#include "snapshotter/refusal.h"

namespace layerfs::snapshotter {

// What a layer that never changes says of itself.
struct LayerFacts {
  bool has_root = false;     // its root directory's attributes mean something
  bool opaque_root = false;  // nothing of the layers below it is seen
  bool real = false;         // owners and marks are as the kernel reads them
};

// Which layers are there, and which of them snapshots need. Thread-safe, but for what asks for the
// Locked token: it proves that the pins and the rows do not change meanwhile.
class Layers {
 public:
  // Holds the layers' lock and, towards garbage collection, the store's add.lock.
  class Locked {
   private:
    friend class Layers;
    Locked(std::unique_lock<std::mutex> lock, sys::UniqueFd adding)
        : lock_(std::move(lock)), adding_(std::move(adding)) {}
    std::unique_lock<std::mutex> lock_;
    sys::UniqueFd adding_;
  };

  static Answer<std::unique_ptr<Layers>> open(const store::Store& store);

  Answer<Locked> lock();

  // Of a layer that a snapshot names. Refuses one that is not there (kFailedPrecondition).
  Answer<LayerFacts> facts(const std::string& key);
  // The layer's directory below the store, and absolute paths: its tree; its index, empty if it has
  // none.
  static std::string directory(const std::string& key);
  std::string tree(const std::string& key) const;
  std::string index(const std::string& key) const;

  std::optional<store::KnownChain> find(const store::Digest& chain);

  Answer<void> pin(const Locked&, const std::string& key);
  // Cleanup will look whether the layer can go.
  void unpin(const Locked&, const std::string& key);
  // Makes the pins those. Every layer beyond is looked at by the next cleanup.
  Answer<void> pin_exactly(const Locked&, const std::set<std::string>& keys);

  // Removes the layers that have been unpinned and that nothing needs. While an import is under way
  // nothing is done, and the next call sees to it.
  Answer<void> collect();

 private:
  Layers(const store::Store& store, store::Pins pins) : store_(store), pins_(std::move(pins)) {}

  const store::Store& store_;
  const store::Pins pins_;
  store::KnownChains chains_;
  std::mutex layers_mutex_;  // the layers' lock of doc/snapshotter.md
  std::mutex mutex_;
  std::map<std::string, LayerFacts> facts_;  // guarded by mutex_
  std::set<std::string> unpinned_;           // guarded by mutex_
};

}  // namespace layerfs::snapshotter
