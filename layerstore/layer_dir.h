// layers/sha256/: which layers are unpacked, and how they are named there (doc/store.md).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "fs/sys/failure.h"
#include "layerstore/digest.h"
#include "layerstore/layer.h"
#include "layerstore/store_dir.h"

namespace layerfs::store {

inline constexpr const char* kLayers = "layers/sha256";
inline constexpr const char* kLayerTree = "fs";
inline constexpr const char* kLayerIndex = "index";
inline constexpr const char* kLayerRecord = "layer.json";

// The chain IDs of the image-spec (config.md) for layers listed bottom first.
std::vector<Digest> chain_ids(const std::vector<Digest>& diff_ids);

// The directory of a layer that says everything about itself.
std::string layer_key(const Digest& diff_id);
// The directory of a layer whose tree takes something from the layers below it.
std::string layer_key(const Digest& diff_id, const Digest& chain_id);

// The directory of a layer that came with its chain ID alone, or may take something from the layers
// below it.
std::string chain_key(const Digest& chain_id);

// The key under which the layer is unpacked, if it is.
std::optional<std::string> find_layer(const StoreDir& store, const Digest& diff_id,
                                      const Digest& chain_id);

// What layer.json says.
struct LayerRecord {
  std::optional<Digest> diff_id;  // nothing if only its chain ID is known, or none
  std::uint64_t size = 0;         // bytes of regular files
  std::uint64_t entries = 0;      // files, directories, ...
  bool has_root = false;          // the archive has an entry for the root directory itself
  bool opaque_root = false;       // it hides all layers below it
  Ownership ownership = Ownership::kReal;
  std::optional<Digest> parent_chain{};  // of a chain_key() layer: what it was unpacked over
};

std::string write_layer_record(const LayerRecord& record);
Outcome<LayerRecord> parse_layer_record(std::string_view json);

// Leases the unpacked layer. Refuses one that is not there, or whose record is broken.
Outcome<Layer> lease_layer(const StoreDir& store, const std::string& key);

}  // namespace layerfs::store
