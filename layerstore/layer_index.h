// The indexes of unpacked layers (doc/layer-index.md).
#pragma once

#include <string>
#include <vector>

#include "fs/sys/failure.h"
#include "layerstore/layer.h"

namespace layerfs::store {

// A directory that holds a layer's tree.
struct LayerPlace {
  int dirfd;         // borrowed
  std::string path;  // from there
};

// Writes the index of each, none of which is changed meanwhile, `threads` at a time. What they hold
// should be on the disk before. A layer works without its index, if slower: the result is a
// sentence about each that has none.
std::vector<std::string> index_layers(const std::vector<LayerPlace>& layers, unsigned threads);

// Writes the index of a leased layer unless it has one already that can be used. Damage behind the
// index's header is not looked for.
Outcome<void> ensure_index(const Layer& layer);

}  // namespace layerfs::store
