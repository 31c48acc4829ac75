// index.json: the store's references. It belongs to the OCI image layout, so other programs may
// have written entries and members that this one does not know: they are kept.
#pragma once

#include <string>
#include <vector>

#include "fs/sys/failure.h"
#include "layerstore/manifest.h"
#include "layerstore/store_dir.h"

namespace layerfs::store {

// The entries, in order.
Outcome<std::vector<Descriptor>> read_references(const StoreDir& store);

// Adds `entries`; one whose name (kRefName) another entry has takes its place. All of them appear
// at once, durably.
Outcome<void> add_references(const StoreDir& store, const std::vector<Descriptor>& entries);

// Removes the entries with this digest: those named `name`, or all of them if `name` is empty.
Outcome<void> remove_references(const StoreDir& store, const Digest& digest,
                                const std::string& name);

}  // namespace layerfs::store
