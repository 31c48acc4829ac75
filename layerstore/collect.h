// Garbage collection: what no image and no snapshot needs goes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "fs/sys/failure.h"
#include "layerstore/store.h"

namespace layerfs::store {

struct Collected {
  std::uint64_t blobs = 0;
  std::uint64_t layers = 0;
  std::uint64_t layer_bytes = 0;  // of regular files in those layers
  std::uint64_t blob_bytes = 0;
  bool busy = false;  // an import was under way: nothing has been done
};

// Removes blobs that no reference reaches, and layers that no image, no snapshot and no pin names
// and nobody leases. With `wait` it waits for imports to end. Refuses if an image or snapshot
// cannot be read: what it needs is unknown.
Outcome<Collected> collect_garbage(const Store& store, bool wait);

// The same, but that nothing besides these layers is removed. Keys that are not there are passed
// over.
Outcome<Collected> collect_layers(const Store& store, const std::vector<std::string>& keys,
                                  bool wait);

}  // namespace layerfs::store
