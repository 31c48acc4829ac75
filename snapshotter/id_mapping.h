// The labels by which a snapshot's owners are shown mapped.
#pragma once

#include <string>
#include <vector>

#include "snapshotter/info.h"
#include "snapshotter/refusal.h"

namespace layerfs::snapshotter {

// Whether there are such labels.
bool has_id_mapping(const Labels& labels);

// The mount options uidmapping= and gidmapping= for the labels kUidMapLabel and kGidMapLabel
// ("CONTAINER:HOST:SIZE", several divided by commas). Refuses, with kInvalidArgument, what is no
// mapping.
Answer<std::vector<std::string>> id_mapping_options(const Labels& labels);

}  // namespace layerfs::snapshotter
