// A snapshot: the writable directory of one mount and the layers below it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "fs/sys/unique_fd.h"
#include "layerstore/digest.h"
#include "layerstore/layer.h"

namespace layerfs::store {

// A snapshot in use. While it lives no other process can open or remove it, nor are its layers
// collected; a process that inherits the descriptors keeps it so. Movable.
struct Snapshot {
  std::string name;
  std::string image;  // the name the image had, may be empty
  Digest manifest;
  std::string upper;          // absolute
  std::string work;           // absolute, on the same file system as upper
  std::vector<Layer> layers;  // top layer first
  sys::UniqueFd lease;
};

// A snapshot as `layerfs snapshots` lists it.
struct SnapshotInfo {
  std::string name;
  std::string image;
  std::string manifest;  // "sha256:..."
  std::string created;   // RFC 3339
  bool in_use = false;
  std::vector<std::string> layers{};  // keys, top layer first
};

}  // namespace layerfs::store
