// Random lower layers.
#pragma once

#include <vector>

#include "tests/oracle/case.h"
#include "tests/oracle/model.h"
#include "tests/oracle/rng.h"

namespace layerfs::oracle {

struct LayerRules {
  bool hard_links = true;
  bool idle_whiteouts = true;     // also where there is nothing to hide
  size_t longest_whiteout = 255;  // bytes of a name that can still be whited out
};

// 1 to 5 layers, topmost first, that overlap. `merged` becomes the merged tree.
std::vector<LayerTree> generate_layers(Rng& rng, const LayerRules& rules, Model& merged);

}  // namespace layerfs::oracle
