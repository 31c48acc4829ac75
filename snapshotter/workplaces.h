// The directories of snapshots that are not committed: containerd/snapshots/ID in the store.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "layerstore/layer.h"
#include "layerstore/store_dir.h"
#include "snapshotter/refusal.h"

namespace layerfs::snapshotter {

// Thread-safe: IDs are random, and each belongs to one snapshot.
class Workplaces {
 public:
  static Answer<Workplaces> open(const store::StoreDir& store);

  // A new directory, with an upper whose root has the attributes that the layers (top first) give
  // it.
  Answer<std::string> make(const std::vector<store::Layer>& layers) const;
  // Removes the directory with all it holds. What cannot be removed is left to sweep().
  void remove(const std::string& id) const;
  Answer<bool> exists(const std::string& id) const;
  Answer<std::vector<std::string>> ids() const;

  // Absolute.
  std::string path(const std::string& id) const;
  std::string upper(const std::string& id) const { return path(id) + "/fs"; }
  std::string work(const std::string& id) const { return path(id) + "/work"; }

  // The directory that they all are in, borrowed.
  int fd() const { return fd_.get(); }

 private:
  Workplaces(const store::StoreDir& store, sys::UniqueFd fd) : store_(&store), fd_(std::move(fd)) {}

  const store::StoreDir* store_;
  sys::UniqueFd fd_;
};

}  // namespace layerfs::snapshotter
