// Random operations.
#pragma once

#include <vector>

#include "tests/oracle/model.h"
#include "tests/oracle/op.h"
#include "tests/oracle/rng.h"

namespace layerfs::oracle {

// `count` operations that start on the tree `model`.
std::vector<Op> generate_ops(Rng& rng, Model model, int count);

}  // namespace layerfs::oracle
