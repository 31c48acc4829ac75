// The store's own directory: the names in it, its locks, its temporaries. See doc/store.md.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "fs/sys/failure.h"
#include "fs/sys/unique_fd.h"

namespace layerfs::store {

// Thread-safe: immutable after opening.
class StoreDir {
 public:
  static Outcome<StoreDir> open(const std::string& root);
  static Outcome<StoreDir> create(const std::string& root);

  const std::string& path() const { return path_; }
  std::string path(const std::string& name) const { return path_ + "/" + name; }
  int fd() const { return fd_.get(); }

  // Held by whoever adds blobs or layers to the store, until they are referenced.
  Outcome<sys::UniqueFd> lock_for_adding() const;
  // Held by garbage collection: waits until nobody adds. Nothing (an empty descriptor) if
  // `wait` is false and somebody does.
  Outcome<sys::UniqueFd> lock_for_collecting(bool wait) const;
  // Held while index.json is read, changed and replaced.
  Outcome<sys::UniqueFd> lock_index() const;

 private:
  StoreDir(std::string path, sys::UniqueFd fd) : path_(std::move(path)), fd_(std::move(fd)) {}
  Outcome<sys::UniqueFd> lock(const char* name, int operation) const;

  std::string path_;  // absolute
  sys::UniqueFd fd_;
};

// A directory below tmp/, removed with all it holds when this dies. While it lives its lock tells
// the others that it has an owner; what a killed process left has none.
class TempDir {
 public:
  static Outcome<TempDir> make(const StoreDir& store);
  TempDir(TempDir&&) noexcept = default;
  TempDir& operator=(TempDir&&) = delete;
  ~TempDir();

  const std::string& path() const { return path_; }
  int fd() const { return fd_.get(); }

  // The directory has been renamed into place: it stays, and with the descriptor its lock.
  sys::UniqueFd release() { return std::move(fd_); }

 private:
  TempDir(std::string path, sys::UniqueFd fd) : path_(std::move(path)), fd_(std::move(fd)) {}

  std::string path_;
  sys::UniqueFd fd_;
};

// What killed processes left in tmp/: paths relative to the store.
std::vector<std::string> orphans(const StoreDir& store);

// Removes what killed processes left in tmp/. Failures are left to the next call.
void remove_orphans(const StoreDir& store);

}  // namespace layerfs::store
