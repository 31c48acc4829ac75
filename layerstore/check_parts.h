// The parts of check_store(). Each appends what it finds to a CheckResult.
#pragma once

#include <string>
#include <vector>

#include "fs/sys/failure.h"
#include "layerstore/check.h"

namespace layerfs::store {

// blobs/: content that its name does not describe, and files that are no blobs.
Outcome<void> check_blobs(const StoreDir& store, CheckResult& result);

// layers/: records, trees and indexes. An index is whole if its checksums say so; a tree that
// differs from a whole index has changed since it was unpacked, which no index can repair.
Outcome<void> check_layers(const StoreDir& store, bool repair, CheckResult& result);

void add_problem(CheckResult& result, Part part, std::string name, std::string sentence,
                 bool repaired = false);

}  // namespace layerfs::store
