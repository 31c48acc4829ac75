// Completing a layer's tree with what it takes from the layers below it (doc/store.md, "Why a
// layer's KEY is not always its diffID").
#pragma once

#include <string>
#include <vector>

#include "fs/sys/failure.h"
#include "layerstore/tree_writer.h"

namespace layerfs::store {

// Whether the tree says everything itself.
bool needs_layers_below(const TreeNotes& notes);

// Gives implied directories of `tree` the attributes that they have in the layers below (`below`:
// descriptors of their trees, top first, complete themselves), and makes copies of the files there
// that borrowed hard links point to. Refuses a link whose target is nowhere.
Outcome<void> borrow_from_below(int tree, const TreeNotes& notes, const std::vector<int>& below,
                                const TreeFormat& format);

}  // namespace layerfs::store
