// The root directory of a snapshot.
#pragma once

#include <vector>

#include "fs/sys/failure.h"
#include "layerstore/layer.h"

namespace layerfs::store {

// The root directory that a container sees is the upper's: gives it the mode, owner and times of
// the topmost layer that has an entry for it. `layers`: top first. Without such a layer it stays as
// it is.
Outcome<void> give_root_attributes(int upper, const std::vector<Layer>& layers);

}  // namespace layerfs::store
