// A layer's tar stream into a directory.
#pragma once

#include "fs/sys/failure.h"
#include "layerstore/import_limits.h"
#include "layerstore/layer_stream.h"
#include "layerstore/tree_writer.h"

namespace layerfs::store {

// Unpacks the stream into the empty directory `tree` (borrowed) and reads it to its end, so that on
// success the layer is verified. Whatever has been written when it is refused is the caller's to
// remove. Entries mean what the OCI image-spec (layer.md) says; doc/store.md has the details.
// Refuses what goes beyond the limits; the memory that it takes is bounded by them, not by the
// stream.
Outcome<TreeNotes> unpack_layer(LayerStream& stream, int tree, const TreeFormat& format,
                                const ImportLimits& limits = {});

}  // namespace layerfs::store
