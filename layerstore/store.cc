#include "layerstore/store.h"

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <map>
#include <optional>
#include <utility>

#include "layerstore/blob.h"
#include "layerstore/index_file.h"
#include "layerstore/layer_dir.h"
#include "layerstore/manifest.h"
#include "layerstore/media_type.h"
#include "layerstore/quote.h"
#include "layerstore/reference.h"

namespace layerfs::store {

namespace {

constexpr int kMaxNesting = 4;
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

// Other names that are none, as other programs or older versions have written them, do no harm.
bool passes_for_digest(std::string_view name, const Digest& manifest) {
  const bool digested = name.find('@') != name.npos && !is_name_of(name, manifest);
  return is_digest_form(name) || digested;
}

void give_name(Image& image, std::string name) {
  const bool is_false = passes_for_digest(name, image.manifest);
  (is_false ? image.false_name : image.name) = std::move(name);
}

// Without a name.
Outcome<Image> load(const StoreDir& store, const Descriptor& entry) {
  LAYERFS_TRY_ASSIGN(const Digest digest, manifest_of(store, entry));
  LAYERFS_TRY_ASSIGN(const std::string manifest_text, read_document(store, digest));
  LAYERFS_TRY_ASSIGN(const Manifest manifest, parse_manifest(manifest_text));
  LAYERFS_TRY_ASSIGN(const std::string config_text, read_document(store, manifest.config.digest));
  LAYERFS_TRY_ASSIGN(ImageConfig config, parse_image_config(config_text));
  if (config.diff_ids.size() != manifest.layers.size()) {
    return refuse("its manifest and its configuration disagree about the number of layers");
  }
  Image image{{}, {}, digest, manifest.config.digest, std::move(config), 0, {}};
  image.blob_size = manifest.config.size;
  for (const Descriptor& layer : manifest.layers) image.blob_size += layer.size;
  image.layers = keys_of(store, image.config.diff_ids);
  return image;
}

std::string title(const Image& image) {
  return image.name.empty() ? image.manifest.text() : image.name;
}

// How well the reference fits the image's name: 0 not at all, else the higher the better.
int fit(const Image& image, std::string_view reference) {
  const std::string_view name = image.name;
  const std::string latest = std::string(reference) + std::string(kLatest);
  if (name == reference) return 3;
  if (name == latest) return 2;
  return name.ends_with("/" + std::string(reference)) || name.ends_with("/" + latest) ? 1 : 0;
}

using Images = std::vector<const Image*>;

// Those whose names fit best.
Images named(const std::vector<Image>& all, std::string_view reference) {
  Images best;
  int best_fit = 1;
  for (const Image& image : all) {
    const int how = fit(image, reference);
    if (how > best_fit) best.clear();
    if (how < best_fit) continue;
    best_fit = how;
    best.push_back(&image);
  }
  return best;
}

// Those whose digest begins so. Another image may have the same configuration: the manifest counts
// first.
Images with_digest(const std::vector<Image>& all, std::string_view hex) {
  Images found;
  for (const Image& image : all)
    if (image.manifest.hex().starts_with(hex)) found.push_back(&image);
  if (!found.empty()) return found;
  for (const Image& image : all)
    if (image.config_digest.hex().starts_with(hex)) found.push_back(&image);
  return found;
}

// Those named so that have the digest which the reference demands.
Outcome<Images> verified(const std::vector<Image>& all, std::string_view text) {
  const std::optional<Reference> reference = parse_reference(text);
  if (!reference)
    return refuse(quote(text) + " is no valid reference: NAME@sha256: and 64 hexadecimal digits",
                  EINVAL);
  Images found;
  for (const Image& image : all) {
    if (image.manifest == *reference->digest &&
        (image.name == text || fit(image, reference->name) > 0))
      found.push_back(&image);
  }
  if (!found.empty()) return found;
  const Images others = named(all, reference->name);
  if (others.empty()) return found;
  return refuse("the image '" + reference->name + "' has the digest " + others[0]->manifest.text() +
                    " and not " + reference->digest->text(),
                ENOENT);
}

Failure ambiguous(std::string_view reference, const Images& images) {
  std::string names;
  for (const Image* image : images) {
    names += (names.empty() ? "" : ", ") + title(*image);
    if (is_digest_prefix(reference) && !image->name.empty())
      names += " (" + image->manifest.text() + ")";
  }
  return {"'" + std::string(reference) + "' may mean " + names + ": say more", 0};
}

Failure unknown(std::string_view reference, const std::vector<std::string>& problems) {
  for (const std::string& problem : problems) {
    if (problem.find("'" + std::string(reference) + "'") != problem.npos) return {problem, 0};
  }
  return {"there is no image '" + std::string(reference) +
              "' in the store: `layerfs images` lists them",
          ENOENT};
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
      give_name(images.back(), entry.annotation(kRefName));
    } else {
      const std::string name = entry.annotation(kRefName);
      problems.push_back("the image '" + (name.empty() ? entry.digest.text() : name) +
                         "' is broken: " + image.error().sentence);
    }
  }
  return images;
}

Outcome<Store::Found> Store::look_up(std::string_view reference) const {
  std::vector<std::string> problems;
  LAYERFS_TRY_ASSIGN(const std::vector<Image> all, images(problems));
  Images found;
  bool by_digest = is_digest_form(reference);
  if (by_digest) {
    const std::string_view hex = reference.substr(reference.find(':') + 1);
    if (!is_digest_prefix(hex) ||
        (reference.find(':') != reference.npos && !reference.starts_with("sha256:")))
      return refuse(
          quote(reference) + " is no digest: sha256: and 4 to 64 hexadecimal digits (0-9, a-f)",
          EINVAL);
    found = with_digest(all, hex);
  } else if (reference.find('@') != reference.npos) {
    LAYERFS_TRY_ASSIGN(found, verified(all, reference));
  } else {
    found = named(all, reference);
    by_digest = found.empty();
    // A name must not stand for another image whose digest begins like it.
    if (is_digest_prefix(reference))
      std::ranges::copy(with_digest(all, reference), std::back_inserter(found));
  }
  if (found.empty()) return tl::make_unexpected(unknown(reference, problems));
  const bool one = std::ranges::all_of(
      found, [&](const Image* image) { return image->manifest == found[0]->manifest; });
  if (!one) return tl::make_unexpected(ambiguous(reference, found));
  return Found{*found[0], by_digest};
}

Outcome<Image> Store::find(std::string_view reference) const {
  LAYERFS_TRY_ASSIGN(Found found, look_up(reference));
  return std::move(found.image);
}

std::string about_false_name(const Image& image) {
  return "the image " + image.manifest.text() + " has the reference " + quote(image.false_name) +
         ", which would pass for another image's digest: it counts for nothing; `layerfs rmi " +
         image.manifest.text() + "` removes the image";
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
