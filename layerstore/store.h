// The image store: an OCI image layout with unpacked layers and snapshots beside the blobs
// (doc/store.md). This is what mounting, listing and removing need; import.h fills it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "fs/sys/failure.h"
#include "layerstore/digest.h"
#include "layerstore/image_config.h"
#include "layerstore/layer.h"
#include "layerstore/snapshot.h"
#include "layerstore/store_dir.h"

namespace layerfs::store {

// An image in the store.
struct Image {
  std::string name;  // its reference in index.json; empty if it has none
  // Its reference in index.json, if that would pass for the digest of another image: no name.
  std::string false_name;
  Digest manifest;
  Digest config_digest;
  ImageConfig config;
  std::uint64_t blob_size = 0;      // config and (compressed) layers, bytes
  std::vector<std::string> layers;  // keys, top layer first; one that is not unpacked is empty
};

class Store {
 public:
  // The store at `root`, which must be one. Refuses with a sentence that says how to make one.
  static Outcome<Store> open(const std::string& root);
  // The store at `root`, made if there is nothing, or an empty directory, there.
  static Outcome<Store> create(const std::string& root);

  const StoreDir& dir() const { return dir_; }

  // Every reference, in the order of index.json. An image whose blobs are broken is left out and
  // its sentence appended to `problems`.
  Outcome<std::vector<Image>> images(std::vector<std::string>& problems) const;

  // The image that `reference` means: its whole name, the name without ":latest", the last
  // components of a single name ("py:1" for "localhost/t/py:1"), any of these with "@DIGEST" of its
  // manifest, or at least four leading hexadecimal digits of the digest of one image's manifest or
  // config, with "sha256:" in front or without. What is_digest_form() takes is never a name.
  // Refuses what is unknown, and what means more than one image: also the name of one that is the
  // beginning of another's digest.
  Outcome<Image> find(std::string_view reference) const;

  // The same, and whether it was found by its digest alone.
  struct Found {
    Image image;
    bool by_digest = false;
  };
  Outcome<Found> look_up(std::string_view reference) const;

  // The image's unpacked layers, top first, leased; without those that a layer above hides whole.
  Outcome<std::vector<Layer>> layers(const Image& image) const;

  // A new snapshot over the image. An empty name makes one up. Refuses a name that is taken or that
  // is not [A-Za-z0-9][A-Za-z0-9_.-]* of at most 128 characters.
  Outcome<Snapshot> create_snapshot(const Image& image, std::string_view name) const;
  // An existing one. Refuses one that is in use.
  Outcome<Snapshot> open_snapshot(std::string_view name) const;
  // Sorted by name.
  Outcome<std::vector<SnapshotInfo>> snapshots() const;
  // The keys of all layers that a snapshot names. Refuses if a snapshot cannot be read.
  Outcome<std::vector<std::string>> snapshot_layers() const;
  // Removes the upper with all it holds. Refuses one that is in use.
  Outcome<void> remove_snapshot(std::string_view name) const;

 private:
  explicit Store(StoreDir dir) : dir_(std::move(dir)) {}

  StoreDir dir_;
};

// A sentence about an image's false name.
std::string about_false_name(const Image& image);

}  // namespace layerfs::store
