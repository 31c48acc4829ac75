#include "layerstore/docker_archive.h"

#include <algorithm>
#include <utility>

#include "layerstore/json_view.h"
#include "layerstore/quote.h"
#include "layerstore/reference.h"

namespace layerfs::store {

namespace {

Outcome<SourceImage> read_image(const FileSet& files, const JsonView& json) {
  SourceImage image;
  image.names = json.texts("RepoTags");
  const std::string config_name = json.text("Config");
  LAYERFS_TRY_ASSIGN(std::optional<std::string> config, files.read(config_name));
  if (!config) return refuse("the configuration " + quote(config_name) + " is missing");
  // Docker names the file by its digest, "HEX.json" or "blobs/sha256/HEX".
  const std::string stem = config_name.substr(config_name.rfind('/') + 1);
  const std::optional<Digest> digest = Digest::parse_hex(stem.substr(0, stem.find('.')));
  if (digest && *digest != Digest::of(*config)) {
    return refuse("the configuration " + quote(config_name) +
                  " is damaged: its content has another digest");
  }
  image.config = std::move(*config);
  LAYERFS_TRY_ASSIGN(image.parsed_config, parse_image_config(image.config));
  const std::vector<std::string> layers = json.texts("Layers");
  const std::vector<Digest>& diff_ids = image.parsed_config.diff_ids;
  if (layers.size() != diff_ids.size()) {
    return refuse("manifest.json has " + std::to_string(layers.size()) +
                  " layers and the configuration " + std::to_string(diff_ids.size()));
  }
  for (std::size_t i = 0; i < layers.size(); ++i) {
    LAYERFS_TRY_ASSIGN(std::optional<Region> region, files.find(layers[i]));
    if (!region) {
      return refuse("layer " + std::to_string(i + 1) + " (" + quote(layers[i]) + ") is missing");
    }
    image.layers.push_back({std::move(*region), std::nullopt, diff_ids[i]});
  }
  return image;
}

}  // namespace

Outcome<std::vector<SourceImage>> read_docker_images(const FileSet& files,
                                                     const std::string& manifest,
                                                     const std::string& select) {
  const std::optional<JsonView> json = JsonView::parse(manifest);
  if (!json || !json->is_array()) return refuse("its manifest.json is not a list");
  std::vector<SourceImage> images;
  std::string names;
  for (const JsonView& item : json->items()) {
    const std::vector<std::string> tags = item.texts("RepoTags");
    for (const std::string& tag : tags) names += (names.empty() ? "" : ", ") + tag;
    // An archive of this kind knows no digests of manifests.
    const bool selected = !is_digest_form(select) && std::ranges::find(tags, select) != tags.end();
    if (!select.empty() && !selected) continue;
    LAYERFS_TRY_ASSIGN(SourceImage image, read_image(files, item));
    if (!select.empty()) image.names = {select};
    images.push_back(std::move(image));
  }
  if (!images.empty()) return images;
  if (select.empty()) return refuse("its manifest.json lists no images");
  return refuse("it holds no image " + quote(select) + ", but " + names);
}

}  // namespace layerfs::store
