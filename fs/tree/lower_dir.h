// Directories of lower layers. They never change, so they are plain immutable values.
#pragma once

#include <cstdint>
#include <string>

#include <absl/container/inlined_vector.h>

#include "fs/layer/index.h"
#include "fs/layer/layer.h"
#include "fs/tree/name.h"
#include "fs/tree/ref.h"

namespace layerfs::tree {

// One directory of one lower layer, reached by the names that lead to it there (which, after a
// redirect, are not those of the merged tree). Immutable; shared by whoever needs it.
struct LowerDir : Counted {
  const layer::Layer* layer = nullptr;     // outlives the tree
  Ref<const LowerDir> parent;              // null for the layer's root
  Name name;                               // empty for the root
  std::uint64_t key = 0;                   // names this object in the descriptor cache
  std::uint32_t position = 0;              // of the layer in Stack::roots()
  layer::IndexSlot slot = layer::kNoSlot;  // in the layer's index; kNoSlot: it is not there

  // Of a directory that a redirect in a layer above leads to: the directory with the redirect.
  Ref<const LowerDir> seen_as;

  // Relative to the layer's root; empty for the root.
  std::string path() const;

  // Where the union of the lower layers alone shows it, relative to its root: what a redirect in
  // the upper has to say to lead here.
  std::string union_path() const;
};

using LowerDirPtr = Ref<const LowerDir>;

// Mostly one.
using LowerDirs = absl::InlinedVector<LowerDirPtr, 1>;

// A non-directory of a lower layer.
struct LowerFile {
  LowerDirPtr dir;  // null: none
  Name name;
};

// Where the data of a regular file is.
struct LowerData {
  LowerFile file;
  // If `file` is a metacopy whose data is in the data-only layers: its absolute path there. Nobody
  // has looked whether it is there.
  std::string object;
};

}  // namespace layerfs::tree
