// Archives of `docker save` (Docker image specification v1.2: manifest.json).
#pragma once

#include <string>
#include <vector>

#include "fs/sys/failure.h"
#include "layerstore/file_set.h"
#include "layerstore/image_source.h"

namespace layerfs::store {

// `manifest` is the content of manifest.json; `select` as for read_images().
Outcome<std::vector<SourceImage>> read_docker_images(const FileSet& files,
                                                     const std::string& manifest,
                                                     const std::string& select);

}  // namespace layerfs::store
