// blobs/sha256/: immutable content under its digest.
#pragma once

#include <cstddef>
#include <string>

#include "fs/sys/failure.h"
#include "layerstore/digest.h"
#include "layerstore/store_dir.h"

namespace layerfs::store {

// Manifests, indexes and configurations in the store have at most this; see ImportLimits.
inline constexpr std::size_t kMaxDocument = 16 << 20;

// The blob's path relative to the store.
std::string blob_path(const Digest& digest);

bool has_blob(const StoreDir& store, const Digest& digest);

// The whole of a small blob. Refuses one whose content is not what its name says.
Outcome<std::string> read_document(const StoreDir& store, const Digest& digest);

}  // namespace layerfs::store
