// The store's own directory: the names in it, its locks, its temporaries. See doc/store.md.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "fs/sys/failure.h"
#include "fs/sys/trusted_dir.h"
#include "fs/sys/unique_fd.h"

namespace layerfs::store {

// Thread-safe: immutable after opening. Whoever can change a store decides what its user mounts and
// removes, so it is opened only if that is the caller or root alone (sys::open_trusted), down to
// the directories that it keeps its things in, none of which is a symlink. Behind that everything
// is reached from fd(), beneath it and without following (file_util.h).
class StoreDir {
 public:
  static Outcome<StoreDir> open(const std::string& root);
  static Outcome<StoreDir> create(const std::string& root);

  // Absolute, without symlinks: for sentences, and for the kernel where it takes no descriptor.
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
  static Outcome<StoreDir> checked(sys::TrustedDir root);
  Outcome<sys::UniqueFd> lock(const char* name, int operation) const;

  std::string path_;
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

  const std::string& path() const { return path_; }  // absolute, for sentences
  int fd() const { return fd_.get(); }

  // Renames it to what is no entry yet (EEXIST): there it stays, and with the descriptor its lock.
  // Where that fails it remains what it was.
  Result<sys::UniqueFd> move_to(int dirfd, const std::string& name);

 private:
  TempDir(sys::UniqueFd parent, std::string name, std::string path, sys::UniqueFd fd)
      : parent_(std::move(parent)),
        name_(std::move(name)),
        path_(std::move(path)),
        fd_(std::move(fd)) {}

  sys::UniqueFd parent_;  // tmp/
  std::string name_;
  std::string path_;
  sys::UniqueFd fd_;
};

// What killed processes left in tmp/: paths relative to the store.
std::vector<std::string> orphans(const StoreDir& store);

// Removes what killed processes left in tmp/. Failures are left to the next call.
void remove_orphans(const StoreDir& store);

}  // namespace layerfs::store
