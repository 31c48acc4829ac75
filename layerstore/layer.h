// One layer of an image, unpacked.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "fs/sys/unique_fd.h"
#include "layerstore/digest.h"

namespace layerfs::store {

// Where owners and modes are: in the inodes, or in the xattr user.containers.override_stat, which a
// store without the privilege to chown writes instead (doc/store.md).
enum class Ownership { kReal, kRecorded };

// An unpacked layer and the lease on it: while it lives, garbage collection leaves the layer alone,
// in every process that inherits the descriptor. Movable.
struct Layer {
  std::optional<Digest> diff_id;  // nothing if only its chain ID is known
  std::string key;                // the name of its directory below layers/sha256/
  std::string path;               // absolute: the tree, in kernel overlayfs's lower layer format
  std::string index;              // absolute: where the layer's index is, if it has one
  std::uint64_t size;             // bytes of regular files
  bool has_root = false;          // the archive has an entry for the root directory itself
  bool opaque_root = false;       // nothing of the layers below it is seen
  Ownership ownership = Ownership::kReal;
  std::optional<Digest> parent_chain;  // what a chain_key() layer was unpacked over
  sys::UniqueFd lease;                 // the layer's directory, with a shared lock
};

}  // namespace layerfs::store
