#include "layerstore/image_source.h"

#include <algorithm>
#include <map>
#include <utility>

#include "layerstore/docker_archive.h"
#include "layerstore/json_view.h"
#include "layerstore/manifest.h"
#include "layerstore/media_type.h"
#include "layerstore/quote.h"
#include "layerstore/reference.h"

namespace layerfs::store {

namespace {

constexpr const char* kContainerdName = "io.containerd.image.name";
constexpr int kMaxNesting = 4;

std::string blob_name(const Digest& digest) { return "blobs/sha256/" + digest.hex(); }

class LayoutReader {
 public:
  explicit LayoutReader(const FileSet& files) : files_(files) {}

  Outcome<std::vector<SourceImage>> read(const std::string& index, const std::string& select) {
    LAYERFS_TRY_ASSIGN(const std::vector<Descriptor> entries, parse_index(index));
    std::vector<SourceImage> images;
    std::string names;
    int foreign = 0;
    for (const Descriptor& entry : entries) {
      const std::string name = name_of(entry);
      names += (names.empty() ? "" : ", ") + (name.empty() ? entry.digest.text() : name);
      if (!select.empty() && !is_selected(entry, select)) continue;
      if (is_for_another_machine(entry)) {
        ++foreign;
      } else {
        LAYERFS_TRY(add(images, entry, name));
      }
    }
    if (!images.empty()) return images;
    if (foreign > 0) return refuse("it has nothing for this machine, " + machine_text());
    if (names.empty()) return refuse("the image layout holds no images");
    return refuse("it holds no image " + quote(select) + ", but " + names);
  }

 private:
  // containerd and Docker write the whole name there, and only the tag as the reference.
  static std::string name_of(const Descriptor& entry) {
    const std::string whole = entry.annotation(kContainerdName);
    return whole.empty() ? entry.annotation(kRefName) : whole;
  }

  static std::string machine_text() {
    const Platform machine = machine_platform();
    return machine.os + "/" + machine.architecture;
  }

  // Some writers list the platforms' manifests in index.json itself.
  static bool is_for_another_machine(const Descriptor& entry) {
    return is_manifest(entry.media_type) && !choose_platform({entry}, machine_platform());
  }

  static bool is_selected(const Descriptor& entry, const std::string& select) {
    if (is_digest_form(select))
      return entry.digest.text() == select || entry.digest.hex() == select;
    return name_of(entry) == select || entry.annotation(kRefName) == select;
  }

  Outcome<std::string> document(const Descriptor& descriptor, const char* what) const {
    LAYERFS_TRY_ASSIGN(std::optional<std::string> text, files_.read(blob_name(descriptor.digest)));
    const std::string subject = std::string(what) + " " + descriptor.digest.text();
    if (!text) return refuse(subject + " is missing");
    if (text->size() != descriptor.size) {
      return refuse(subject + " is " + std::to_string(text->size()) + " bytes long, not " +
                    std::to_string(descriptor.size));
    }
    if (Digest::of(*text) != descriptor.digest) {
      return refuse(subject + " is damaged: its content has another digest");
    }
    return std::move(*text);
  }

  Outcome<void> add(std::vector<SourceImage>& images, Descriptor entry, const std::string& name) {
    for (int depth = 0; is_index(entry.media_type); ++depth) {
      if (depth == kMaxNesting) return refuse("its indexes are nested too deeply");
      LAYERFS_TRY_ASSIGN(const std::string text, document(entry, "the index"));
      LAYERFS_TRY_ASSIGN(const std::vector<Descriptor> entries, parse_index(text));
      const Descriptor* chosen = choose_platform(entries, machine_platform());
      if (!chosen) {
        return refuse("the image " + quote(name) + " has nothing for this machine, " +
                      machine_text());
      }
      entry = *chosen;
    }
    if (!is_manifest(entry.media_type)) {
      return refuse("the image " + quote(name) + " has the unknown media type " +
                    quote(entry.media_type));
    }
    const auto same = digests_.find(entry.digest);
    if (same != digests_.end()) {
      if (!name.empty()) images[same->second].names.push_back(name);
      return {};
    }
    LAYERFS_TRY_ASSIGN(SourceImage image, read_image(entry));
    if (!name.empty()) image.names.push_back(name);
    digests_.emplace(entry.digest, images.size());
    images.push_back(std::move(image));
    return {};
  }

  Outcome<SourceImage> read_image(const Descriptor& entry) const {
    SourceImage image;
    image.manifest_type = entry.media_type;
    LAYERFS_TRY_ASSIGN(image.manifest, document(entry, "the manifest"));
    LAYERFS_TRY_ASSIGN(const Manifest manifest, parse_manifest(image.manifest));
    LAYERFS_TRY_ASSIGN(image.config, document(manifest.config, "the configuration"));
    LAYERFS_TRY_ASSIGN(image.parsed_config, parse_image_config(image.config));
    const std::vector<Digest>& diff_ids = image.parsed_config.diff_ids;
    if (diff_ids.size() != manifest.layers.size()) {
      return refuse("the manifest has " + std::to_string(manifest.layers.size()) +
                    " layers and the configuration " + std::to_string(diff_ids.size()));
    }
    for (std::size_t i = 0; i < diff_ids.size(); ++i) {
      LAYERFS_TRY_ASSIGN(Region region, layer_region(manifest.layers[i], i));
      image.layers.push_back({std::move(region), manifest.layers[i].digest, diff_ids[i]});
    }
    return image;
  }

  Outcome<Region> layer_region(const Descriptor& layer, std::size_t index) const {
    const std::string what =
        "layer " + std::to_string(index + 1) + " (" + layer.digest.text() + ")";
    LAYERFS_TRY_ASSIGN(std::optional<Region> region, files_.find(blob_name(layer.digest)));
    if (!region) return refuse(what + " is missing");
    if (region->size != layer.size) {
      return refuse(what + " is " + std::to_string(region->size) + " bytes long, not " +
                    std::to_string(layer.size));
    }
    return std::move(*region);
  }

  const FileSet& files_;
  std::map<Digest, std::size_t> digests_;  // of manifests, and which image it is
};

}  // namespace

Outcome<std::vector<SourceImage>> read_images(const FileSet& files, const std::string& select) {
  LAYERFS_TRY_ASSIGN(const std::optional<std::string> layout, files.read("oci-layout"));
  LAYERFS_TRY_ASSIGN(const std::optional<std::string> index, files.read("index.json"));
  if (layout && index) {
    const std::optional<JsonView> json = JsonView::parse(*layout);
    const std::string version = json ? json->text("imageLayoutVersion") : "";
    if (!version.starts_with("1.")) {
      return refuse("its image layout is of the unknown version " + quote(version));
    }
    return LayoutReader(files).read(*index, select);
  }
  LAYERFS_TRY_ASSIGN(const std::optional<std::string> docker, files.read("manifest.json"));
  if (docker) return read_docker_images(files, *docker, select);
  return refuse("it is neither an OCI image layout nor an archive of `docker save`");
}

}  // namespace layerfs::store
