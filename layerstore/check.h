// Whether a store is what it should be.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "fs/sys/failure.h"
#include "layerstore/store.h"

namespace layerfs::store {

enum class Part { kStore, kBlob, kImage, kLayer, kIndex, kSnapshot, kLeftover };

// Something that is not as it should be.
struct Problem {
  Part part;
  std::string name;      // a digest, an image, a layer's key, a snapshot, a file
  std::string sentence;  // what is wrong, and what to do
  bool repaired = false;
};

struct CheckResult {
  std::size_t images = 0;  // that were looked at
  std::size_t blobs = 0;
  std::size_t layers = 0;
  std::size_t snapshots = 0;
  std::vector<Problem> problems;
};

// Reads all of the store: each blob against its digest, each reference down to its blobs and
// layers, each layer's index against its tree, what snapshots and pins need, and what killed
// processes left. With `repair` indexes that are of no use are made again and leftovers removed;
// nothing else is ever changed. What is added or removed meanwhile does no harm. Refuses if there
// is nothing to look at, since the store's own directories cannot be read.
Outcome<CheckResult> check_store(const Store& store, bool repair);

}  // namespace layerfs::store
