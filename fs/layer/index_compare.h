// Whether two indexes describe the same tree.
#pragma once

#include <optional>
#include <string>

#include "fs/layer/index.h"

namespace layerfs::layer {

// The first difference, as "PATH WHAT" ("usr/bin/x has another size"), in what users see: names,
// whiteouts, types, modes, owners, sizes, devices, modification times, numbers of links, marks,
// targets of symlinks. Nothing if there is none. `is` is what the tree is now, `was` what it was;
// an error is that of an index that contradicts itself.
Result<std::optional<std::string>> first_difference(const Index& was, const Index& is);

}  // namespace layerfs::layer
