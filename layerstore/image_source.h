// The images in an OCI image layout (directory or archive) or in an archive of `docker save`.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "fs/sys/failure.h"
#include "layerstore/digest.h"
#include "layerstore/file_set.h"
#include "layerstore/image_config.h"
#include "layerstore/region.h"

namespace layerfs::store {

struct SourceLayer {
  Region region;
  std::optional<Digest> digest;  // of the blob; `docker save` does not say
  Digest diff_id;
};

struct SourceImage {
  std::vector<std::string> names;  // none, or more than one
  std::string manifest;            // its JSON; empty in an archive of `docker save`
  std::string manifest_type;       // its media type
  std::string config;              // its JSON
  ImageConfig parsed_config;
  std::vector<SourceLayer> layers;  // bottom first
};

// The images for this machine. `select` is the name of one of them, or empty for all. Digests of
// documents are verified, those of layers are not yet.
Outcome<std::vector<SourceImage>> read_images(const FileSet& files, const std::string& select);

}  // namespace layerfs::store
