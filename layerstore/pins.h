// pins/OWNER/KEY: layers that something outside of the store's images and snapshots needs.
#pragma once

#include <set>
#include <string>

#include "fs/sys/failure.h"
#include "layerstore/store_dir.h"

namespace layerfs::store {

// One owner's pins. While a pin is there garbage collection leaves the layer alone, whether or not
// the owner runs. Whoever pins a layer that is already in the store holds lock_for_adding() from
// before looking for it. Thread-safe.
class Pins {
 public:
  // `owner` is a valid file name. Makes the directory.
  static Outcome<Pins> open(const StoreDir& store, const std::string& owner);

  // On the disk when it returns. Existing is success.
  Outcome<void> add(const std::string& key) const;
  // Absent is success.
  Outcome<void> remove(const std::string& key) const;
  Outcome<std::set<std::string>> keys() const;

 private:
  Pins(std::string path, sys::UniqueFd fd) : path_(std::move(path)), fd_(std::move(fd)) {}

  std::string path_;
  sys::UniqueFd fd_;
};

// The keys that any owner has pinned.
Outcome<std::set<std::string>> pinned_layers(const StoreDir& store);

}  // namespace layerfs::store
