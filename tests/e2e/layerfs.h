// The layerfs program, its store and its mounts, as a test uses them.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "tests/support/command.h"
#include "tests/support/temp_dir.h"

namespace layerfs::test {

// The real images of tests/e2e/make-images, made when first asked for (a minute) and kept in the
// build tree for all tests. Throws if they can't be made.
const std::filesystem::path& real_images();

// A store of its own in a fresh directory, with the mounts made by `mount`. Everything is unmounted
// and removed at the end.
class Layerfs {
 public:
  Layerfs();
  ~Layerfs();
  Layerfs(const Layerfs&) = delete;
  Layerfs& operator=(const Layerfs&) = delete;

  const TempDir& dir() const { return dir_; }
  std::filesystem::path store() const { return dir_ / "store"; }

  // `layerfs ARGS...` with this store.
  Ran operator()(const std::vector<std::string>& args) const;

  // `layerfs mount ARGS... DIR` on a fresh directory, which is returned. Throws, with what the
  // program said, if it fails.
  std::filesystem::path mount(const std::vector<std::string>& args);

  // Ends a mount made by mount() and waits until its daemon is gone. Throws if it can't.
  void unmount(const std::filesystem::path& point);

  // The relative paths of all files of the store that hold something, without the locks: what an
  // import that was refused must leave as it was.
  std::vector<std::string> stored_files() const;

 private:
  TempDir dir_;
  std::vector<std::filesystem::path> mounts_;
  int next_ = 0;
};

// Whether `point` is a mount point.
bool is_mounted(const std::filesystem::path& point);

}  // namespace layerfs::test
