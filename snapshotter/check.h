// What any request must keep to.
#pragma once

#include <string>

#include "snapshotter/info.h"
#include "snapshotter/refusal.h"

namespace layerfs::snapshotter {

// `what`: for the sentence. Refuses, with kInvalidArgument, an empty or overlong key and one with a
// NUL in it.
Answer<void> check_key(const std::string& key, const char* what);

// Refuses labels that containerd would refuse: a name and value of more than 4096 bytes together,
// no name, a NUL.
Answer<void> check_labels(const Labels& labels);

}  // namespace layerfs::snapshotter
