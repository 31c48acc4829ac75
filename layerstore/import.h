// Taking images into the store.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <vector>

#include "fs/sys/failure.h"
#include "layerstore/digest.h"
#include "layerstore/import_limits.h"
#include "layerstore/store.h"

namespace layerfs::store {

// How far one layer is. Written by the import, read by whoever shows it.
struct LayerProgress {
  LayerProgress(const Digest& layer, std::uint64_t size) : diff_id(layer), total(size) {}
  const Digest diff_id;
  const std::uint64_t total;  // bytes to read
  std::atomic<std::uint64_t> done{0};
  std::atomic<bool> finished{false};
};

// Thread-safe.
class ImportProgress {
 public:
  LayerProgress& add(const Digest& diff_id, std::uint64_t total);
  // The layers so far; the references stay valid as long as this.
  std::vector<const LayerProgress*> layers() const;

 private:
  mutable std::mutex mutex_;
  std::deque<LayerProgress> layers_;  // guarded by mutex_
};

struct ImportOptions {
  std::string source;    // a path, or "-" for standard input
  std::string name;      // the reference to give; empty: those that the source has
  std::string select;    // one of several images; empty: all
  unsigned threads = 0;  // layers unpacked at a time; 0: as many as there are processors
  ImportLimits limits{};
};

struct ImportedImage {
  std::vector<std::string> names;
  Digest manifest;
  std::size_t layers = 0;
  std::size_t new_layers = 0;  // that the store did not have unpacked
  std::uint64_t size = 0;      // bytes of files in the new ones
};

struct ImportResult {
  std::vector<ImportedImage> images;
  std::vector<std::string> warnings;  // what could not be kept, a sentence each
};

// Imports all images of the source, or none: on failure the store is as it was. A name in the
// source that is no reference, or holds the digest of another manifest, is left out with a warning:
// the image is there by its digest. Such a name in the options is refused.
Outcome<ImportResult> import_images(const Store& store, const ImportOptions& options,
                                    ImportProgress& progress);

}  // namespace layerfs::store
