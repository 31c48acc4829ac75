#include "layerstore/collect.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "layerstore/blob.h"
#include "layerstore/file_util.h"
#include "layerstore/index_file.h"
#include "layerstore/layer_dir.h"
#include "layerstore/manifest.h"
#include "layerstore/media_type.h"

namespace layerfs::store {

namespace {

constexpr const char* kBlobs = "blobs/sha256";
constexpr int kMaxNesting = 4;

class Collector {
 public:
  Collector(const Store& store, TempDir grave)
      : store_(store), dir_(store.dir()), grave_(std::move(grave)) {}

  Outcome<Collected> run() {
    LAYERFS_TRY_ASSIGN(const std::vector<Descriptor> references, read_references(dir_));
    for (const Descriptor& reference : references) LAYERFS_TRY(mark(reference, 0));
    LAYERFS_TRY_ASSIGN(const std::vector<std::string> needed, store_.snapshot_layers());
    layers_.insert(needed.begin(), needed.end());
    LAYERFS_TRY(sweep_layers());
    LAYERFS_TRY(sweep_blobs());
    return collected_;
  }

 private:
  // Everything that a reference reaches. What other programs keep in the layout is kept as well.
  Outcome<void> mark(const Descriptor& entry, int depth) {
    if (depth > kMaxNesting || !blobs_.insert(entry.digest.hex()).second) return {};
    if (is_index(entry.media_type)) {
      LAYERFS_TRY_ASSIGN(const std::string text, read_document(dir_, entry.digest));
      LAYERFS_TRY_ASSIGN(const std::vector<Descriptor> entries, parse_index(text));
      for (const Descriptor& child : entries) {
        // Manifests for other machines may not have been copied.
        if (has_blob(dir_, child.digest)) LAYERFS_TRY(mark(child, depth + 1));
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
    }
    return {};
  }

  Outcome<void> sweep_layers() {
    Result<std::vector<std::string>> keys = list_dir(dir_.fd(), kLayers);
    if (!keys) return refuse("cannot list '" + dir_.path(kLayers) + "'", keys.error());
    for (const std::string& key : *keys) {
      if (!layers_.contains(key)) LAYERFS_TRY(sweep_layer(key));
    }
    return {};
  }

  Outcome<void> sweep_layer(const std::string& key) {
    const std::string path = std::string(kLayers) + "/" + key;
    const sys::UniqueFd fd(
        ::openat(dir_.fd(), path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
    if (!fd || ::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) return {};  // leased, or no layer at all
    if (const Result<std::string> text = read_file(fd.get(), kLayerRecord, kMaxDocument)) {
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
      if (blobs_.contains(name)) continue;
      const std::string path = std::string(kBlobs) + "/" + name;
      struct stat status;
      if (::fstatat(dir_.fd(), path.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) continue;
      LAYERFS_TRY(bury(path, "blob." + name));
      ++collected_.blobs;
      collected_.blob_bytes += static_cast<std::uint64_t>(status.st_size);
    }
    return {};
  }

  // Out of sight in one step; what is in the temporary directory goes with it.
  Outcome<void> bury(const std::string& path, const std::string& name) {
    if (::renameat(dir_.fd(), path.c_str(), grave_.fd(), name.c_str()) == 0) return {};
    return refuse("cannot remove '" + dir_.path(path) + "'", Errno::last());
  }

  const Store& store_;
  const StoreDir& dir_;
  const TempDir grave_;
  std::set<std::string> blobs_;   // needed, by hexadecimal digest
  std::set<std::string> layers_;  // needed, by key
  Collected collected_;
};

}  // namespace

Outcome<Collected> collect_garbage(const Store& store, bool wait) {
  LAYERFS_TRY_ASSIGN(const sys::UniqueFd lock, store.dir().lock_for_collecting(wait));
  if (!lock) {
    Collected busy;
    busy.busy = true;
    return busy;
  }
  remove_orphans(store.dir());
  LAYERFS_TRY_ASSIGN(TempDir grave, TempDir::make(store.dir()));
  Outcome<Collected> collected = Collector(store, std::move(grave)).run();
  if (collected) return collected;
  return refuse("nothing has been collected: " + collected.error().sentence,
                collected.error().code);
}

}  // namespace layerfs::store
