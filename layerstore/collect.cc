#include "layerstore/collect.h"

#include <sys/file.h>

#include <cerrno>
#include <functional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "fs/sys/interruption.h"
#include "layerstore/blob.h"
#include "layerstore/file_util.h"
#include "layerstore/index_file.h"
#include "layerstore/layer_dir.h"
#include "layerstore/manifest.h"
#include "layerstore/media_type.h"
#include "layerstore/pins.h"

namespace layerfs::store {

namespace {

constexpr const char* kBlobs = "blobs/sha256";
constexpr int kMaxNesting = 4;

class Collector {
 public:
  Collector(const Store& store, TempDir grave)
      : store_(store), dir_(store.dir()), grave_(std::move(grave)) {}

  // Finds out what is needed.
  Outcome<void> mark() {
    LAYERFS_TRY_ASSIGN(const std::vector<Descriptor> references, read_references(dir_));
    for (const Descriptor& reference : references) LAYERFS_TRY(mark_entry(reference, 0));
    LAYERFS_TRY_ASSIGN(const std::vector<std::string> needed, store_.snapshot_layers());
    layers_.insert(needed.begin(), needed.end());
    LAYERFS_TRY_ASSIGN(const std::set<std::string> pinned, pinned_layers(dir_));
    layers_.insert(pinned.begin(), pinned.end());
    return {};
  }

  Outcome<Collected> sweep_all() {
    Result<std::vector<std::string>> keys = list_dir(dir_.fd(), kLayers);
    if (!keys) return refuse("cannot list '" + dir_.path(kLayers) + "'", keys.error());
    LAYERFS_TRY(sweep_layers(*keys));
    LAYERFS_TRY(sweep_blobs());
    return collected_;
  }

  Outcome<Collected> sweep_only(const std::vector<std::string>& keys) {
    LAYERFS_TRY(sweep_layers(keys));
    return collected_;
  }

 private:
  // Everything that a reference reaches. What other programs keep in the layout is kept as well.
  Outcome<void> mark_entry(const Descriptor& entry, int depth) {
    if (depth > kMaxNesting || !blobs_.insert(entry.digest.hex()).second) return {};
    if (is_index(entry.media_type)) {
      LAYERFS_TRY_ASSIGN(const std::string text, read_document(dir_, entry.digest));
      LAYERFS_TRY_ASSIGN(const std::vector<Descriptor> entries, parse_index(text));
      for (const Descriptor& child : entries) {
        // Manifests for other machines may not have been copied.
        if (has_blob(dir_, child.digest)) LAYERFS_TRY(mark_entry(child, depth + 1));
      }
    } else if (is_manifest(entry.media_type)) {
      LAYERFS_TRY(mark_image(entry.digest));
    }
    return {};
  }

  Outcome<void> mark_image(const Digest& digest) {
    LAYERFS_TRY_ASSIGN(const std::string text, read_document(dir_, digest));
    LAYERFS_TRY_ASSIGN(const Manifest manifest, parse_manifest(text));
    blobs_.insert(manifest.config.digest.hex());
    for (const Descriptor& layer : manifest.layers) blobs_.insert(layer.digest.hex());
    LAYERFS_TRY_ASSIGN(const std::string config_text, read_document(dir_, manifest.config.digest));
    LAYERFS_TRY_ASSIGN(const ImageConfig config, parse_image_config(config_text));
    const std::vector<Digest> chain = chain_ids(config.diff_ids);
    for (std::size_t i = 0; i < chain.size(); ++i) {
      layers_.insert(layer_key(config.diff_ids[i]));
      layers_.insert(layer_key(config.diff_ids[i], chain[i]));
      layers_.insert(chain_key(chain[i]));
    }
    return {};
  }

  Outcome<void> sweep_layers(const std::vector<std::string>& keys) {
    for (const std::string& key : keys) {
      if (sys::interruption_requested()) return sys::interrupted();
      if (!layers_.contains(key)) LAYERFS_TRY(sweep_layer(key));
    }
    return {};
  }

  Outcome<void> sweep_layer(const std::string& key) {
    const std::string path = std::string(kLayers) + "/" + key;
    const Result<sys::UniqueFd> fd = open_dir(dir_.fd(), path);
    if (!fd || ::flock(fd->get(), LOCK_EX | LOCK_NB) != 0) return {};  // leased, or no layer at all
    if (const Result<std::string> text = read_file(fd->get(), kLayerRecord, kMaxDocument)) {
      if (const Outcome<LayerRecord> record = parse_layer_record(*text)) {
        collected_.layer_bytes += record->size;
      }
    }
    LAYERFS_TRY(bury(path, "layer." + key));
    ++collected_.layers;
    return {};
  }

  Outcome<void> sweep_blobs() {
    Result<std::vector<std::string>> names = list_dir(dir_.fd(), kBlobs);
    if (!names) return refuse("cannot list '" + dir_.path(kBlobs) + "'", names.error());
    for (const std::string& name : *names) {
      if (sys::interruption_requested()) return sys::interrupted();
      if (blobs_.contains(name)) continue;
      const std::string path = std::string(kBlobs) + "/" + name;
      const Result<struct stat> status = stat_entry(dir_.fd(), path);
      if (!status) continue;
      LAYERFS_TRY(bury(path, "blob." + name));
      ++collected_.blobs;
      collected_.blob_bytes += static_cast<std::uint64_t>(status->st_size);
    }
    return {};
  }

  // Out of sight in one step; what is in the temporary directory goes with it.
  Outcome<void> bury(const std::string& path, const std::string& name) {
    const Result<void> moved = move_entry(dir_.fd(), path, grave_.fd(), name);
    if (moved) return {};
    return refuse_entry("cannot remove '" + dir_.path(path) + "'", moved.error());
  }

  const Store& store_;
  const StoreDir& dir_;
  const TempDir grave_;
  std::set<std::string> blobs_;   // needed, by hexadecimal digest
  std::set<std::string> layers_;  // needed, by key
  Collected collected_;
};

}  // namespace

namespace {

using Sweep = std::function<Outcome<Collected>(Collector&)>;

Outcome<Collected> collect(const Store& store, bool wait, const Sweep& sweep) {
  LAYERFS_TRY_ASSIGN(const sys::UniqueFd lock, store.dir().lock_for_collecting(wait));
  if (!lock) {
    Collected busy;
    busy.busy = true;
    return busy;
  }
  remove_orphans(store.dir());
  LAYERFS_TRY_ASSIGN(TempDir grave, TempDir::make(store.dir()));
  Collector collector(store, std::move(grave));
  if (const Outcome<void> marked = collector.mark(); !marked) {
    return refuse("nothing has been collected: " + marked.error().sentence, marked.error().code);
  }
  return sweep(collector);
}

}  // namespace

Outcome<Collected> collect_garbage(const Store& store, bool wait) {
  return collect(store, wait, [](Collector& collector) { return collector.sweep_all(); });
}

Outcome<Collected> collect_layers(const Store& store, const std::vector<std::string>& keys,
                                  bool wait) {
  return collect(store, wait, [&](Collector& collector) { return collector.sweep_only(keys); });
}

}  // namespace layerfs::store
