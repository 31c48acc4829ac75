#include "layerstore/store.h"

#include <algorithm>
#include <map>
#include <utility>

#include "layerstore/blob.h"
#include "layerstore/index_file.h"
#include "layerstore/layer_dir.h"
#include "layerstore/manifest.h"
#include "layerstore/media_type.h"

namespace layerfs::store {

namespace {

constexpr int kMaxNesting = 4;
constexpr std::size_t kMinHexDigits = 4;
constexpr std::string_view kLatest = ":latest";

// Follows indexes down to this machine's manifest.
Outcome<Digest> manifest_of(const StoreDir& store, Descriptor entry) {
  for (int depth = 0; depth < kMaxNesting; ++depth) {
    if (is_manifest(entry.media_type)) return entry.digest;
    if (!is_index(entry.media_type)) {
      return refuse("it has the unknown media type '" + entry.media_type + "'");
    }
    LAYERFS_TRY_ASSIGN(const std::string text, read_document(store, entry.digest));
    LAYERFS_TRY_ASSIGN(const std::vector<Descriptor> entries, parse_index(text));
    const Descriptor* chosen = choose_platform(entries, machine_platform());
    if (!chosen) return refuse("it has nothing for this machine");
    entry = *chosen;
  }
  return refuse("its indexes are nested too deeply");
}

std::vector<std::string> keys_of(const StoreDir& store, const std::vector<Digest>& diff_ids) {
  const std::vector<Digest> chain = chain_ids(diff_ids);
  std::vector<std::string> keys;
  for (std::size_t i = diff_ids.size(); i-- > 0;) {
    keys.push_back(find_layer(store, diff_ids[i], chain[i]).value_or(""));
  }
  return keys;
}

Outcome<Image> load(const StoreDir& store, const Descriptor& entry) {
  LAYERFS_TRY_ASSIGN(const Digest digest, manifest_of(store, entry));
  LAYERFS_TRY_ASSIGN(const std::string manifest_text, read_document(store, digest));
  LAYERFS_TRY_ASSIGN(const Manifest manifest, parse_manifest(manifest_text));
  LAYERFS_TRY_ASSIGN(const std::string config_text, read_document(store, manifest.config.digest));
  LAYERFS_TRY_ASSIGN(ImageConfig config, parse_image_config(config_text));
  if (config.diff_ids.size() != manifest.layers.size()) {
    return refuse("its manifest and its configuration disagree about the number of layers");
  }
  Image image{entry.annotation(kRefName), digest, manifest.config.digest, std::move(config), 0, {}};
  image.blob_size = manifest.config.size;
  for (const Descriptor& layer : manifest.layers) image.blob_size += layer.size;
  image.layers = keys_of(store, image.config.diff_ids);
  return image;
}

std::string title(const Image& image) {
  return image.name.empty() ? image.manifest.text() : image.name;
}

bool is_hex_prefix(std::string_view text) {
  return text.size() >= kMinHexDigits && text.find_first_not_of("0123456789abcdef") == text.npos;
}

// How well the reference fits the image: 0 not at all, else the higher the better.
int fit(const Image& image, std::string_view reference) {
  const std::string_view name = image.name;
  const std::string latest = std::string(reference) + std::string(kLatest);
  if (name == reference) return 4;
  if (name == latest) return 3;
  if (name.ends_with("/" + std::string(reference)) || name.ends_with("/" + latest)) return 2;
  std::string_view hex = reference;
  if (hex.starts_with("sha256:")) hex.remove_prefix(7);
  if (!is_hex_prefix(hex)) return 0;
  const bool starts =
      image.manifest.hex().starts_with(hex) || image.config_digest.hex().starts_with(hex);
  return starts ? 1 : 0;
}

Failure ambiguous(std::string_view reference, const std::vector<Image>& images) {
  std::string names;
  for (const Image& image : images) names += (names.empty() ? "" : ", ") + title(image);
  return {"'" + std::string(reference) + "' may mean " + names + ": say more", 0};
}

}  // namespace

Outcome<Store> Store::open(const std::string& root) {
  LAYERFS_TRY_ASSIGN(StoreDir dir, StoreDir::open(root));
  return Store(std::move(dir));
}

Outcome<Store> Store::create(const std::string& root) {
  LAYERFS_TRY_ASSIGN(StoreDir dir, StoreDir::create(root));
  return Store(std::move(dir));
}

Outcome<std::vector<Image>> Store::images(std::vector<std::string>& problems) const {
  LAYERFS_TRY_ASSIGN(const std::vector<Descriptor> entries, read_references(dir_));
  std::vector<Image> images;
  // An image may have thousands of names.
  std::map<Digest, Outcome<Image>> loaded;
  for (const Descriptor& entry : entries) {
    auto known = loaded.find(entry.digest);
    if (known == loaded.end()) known = loaded.emplace(entry.digest, load(dir_, entry)).first;
    const Outcome<Image>& image = known->second;
    if (image) {
      images.push_back(*image);
      images.back().name = entry.annotation(kRefName);
    } else {
      const std::string name = entry.annotation(kRefName);
      problems.push_back("the image '" + (name.empty() ? entry.digest.text() : name) +
                         "' is broken: " + image.error().sentence);
    }
  }
  return images;
}

Outcome<Image> Store::find(std::string_view reference) const {
  std::vector<std::string> problems;
  LAYERFS_TRY_ASSIGN(std::vector<Image> all, images(problems));
  std::vector<Image> best;
  int best_fit = 1;
  for (Image& image : all) {
    const int how = fit(image, reference);
    if (how > best_fit) best.clear();
    if (how < best_fit) continue;
    best_fit = how;
    best.push_back(std::move(image));
  }
  if (best.empty()) {
    for (const std::string& problem : problems) {
      if (problem.find("'" + std::string(reference) + "'") != problem.npos) return refuse(problem);
    }
    return refuse("there is no image '" + std::string(reference) +
                      "' in the store: `layerfs images` lists them",
                  ENOENT);
  }
  const bool one = std::ranges::all_of(
      best, [&](const Image& image) { return image.manifest == best[0].manifest; });
  if (!one) return tl::make_unexpected(ambiguous(reference, best));
  return std::move(best[0]);
}

Outcome<std::vector<Layer>> Store::layers(const Image& image) const {
  std::vector<Layer> layers;
  for (const std::string& key : image.layers) {
    if (key.empty()) {
      return refuse("the image '" + title(image) + "' is in the store but not unpacked: `layerfs " +
                    "import " + dir_.path() + " --select " + title(image) + "` unpacks it");
    }
    // A layer hides all that the same layer further down would show.
    if (std::ranges::find(layers, key, &Layer::key) != layers.end()) continue;
    LAYERFS_TRY_ASSIGN(Layer layer, lease_layer(dir_, key));
    layers.push_back(std::move(layer));
    if (layers.back().opaque_root) break;
  }
  return layers;
}

}  // namespace layerfs::store
