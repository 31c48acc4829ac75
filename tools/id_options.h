// The mount options by which container runtimes have owners mapped.
#pragma once

#include <optional>
#include <string_view>

#include "fs/op/id_map.h"

namespace layerfs::tools {

// "[:]STORED:SHOWN:COUNT[:STORED:SHOWN:COUNT]...", as podman and buildah write it: the ids from
// STORED on lie in the layers and are shown as those from SHOWN on. Nothing for what is no such
// list, or has a range that is empty or reaches over the last id.
std::optional<op::IdMap> parse_id_map(std::string_view text);

// One id, 0 to 4294967294.
std::optional<op::IdMap> parse_squash(std::string_view text);

}  // namespace layerfs::tools
