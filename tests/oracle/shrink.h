// Finds a small case that still fails.
#pragma once

#include <chrono>
#include <functional>

#include "tests/oracle/case.h"

namespace layerfs::oracle {

struct ShrinkLimits {
  int tries = 400;
  std::chrono::seconds time{60};
};

// The smallest case found for which `fails` holds, as it does for `failing`: operations go first
// (delta debugging), then whole layers, then entries, then what entries and operations carry.
Case shrink(Case failing, const std::function<bool(const Case&)>& fails, ShrinkLimits limits);

}  // namespace layerfs::oracle
