// What the keys and names of containerd's unpacker say (doc/snapshotter.md, "What a layer is
// called").
#pragma once

#include <optional>
#include <string>

#include "layerstore/digest.h"

namespace layerfs::snapshotter {

// Whether the key is one that a layer is unpacked under: "[NAMESPACE/NUMBER/]extract-...".
bool is_unpack_key(const std::string& key);

// The chain ID that an unpacker's key and the name that it is committed as agree on.
std::optional<store::Digest> unpacked_chain(const std::string& key, const std::string& name);

}  // namespace layerfs::snapshotter
