// Layers on their way into the store: copied and unpacked below tmp/, verified, not yet visible.
#pragma once

#include <atomic>
#include <optional>
#include <string>
#include <vector>

#include "fs/sys/failure.h"
#include "layerstore/import.h"
#include "layerstore/layer_stream.h"
#include "layerstore/store_dir.h"
#include "layerstore/tree_writer.h"

namespace layerfs::store {

// One layer to stage. Filled by stage_layers().
struct StagedLayer {
  LayerInput input;
  Digest diff_id;
  bool want_blob = false;
  bool want_tree = false;
  std::string label;  // for sentences: "layer 2 (sha256:...)"

  std::optional<LayerDigests> digests{};  // once staged
  std::optional<TreeNotes> notes{};       // once unpacked
  int place = -1;                         // where it is staged: the temporary directory, borrowed
  std::string blob_name{};                // in there; empty: not wanted
  std::string layer_name{};               // in there, holds the tree; empty: not wanted
  std::string key{};                      // the directory's name to be, once that is known
};

// Stages them all, `threads` at a time, below the temporary directory. The first that fails stops
// the others.
Outcome<void> stage_layers(std::vector<StagedLayer>& layers, const TempDir& temporary,
                           const TreeFormat& format, const ImportLimits& limits, unsigned threads,
                           ImportProgress& progress);

}  // namespace layerfs::store
