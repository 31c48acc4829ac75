// A store of its own for each test, and the commands on it, run in this process.
#pragma once

#include <sys/stat.h>

#include <filesystem>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "layerstore/store.h"
#include "tests/support/image.h"
#include "tests/support/tar.h"
#include "tests/support/temp_dir.h"

namespace layerfs::test {

struct CommandResult {
  int status = -1;
  std::string out;
  std::string err;
};

class StoreTest : public testing::Test {
 protected:
  // `layerfs ARGS... --root ROOT`
  CommandResult layerfs(std::vector<std::string> args) const;

  // Imports a layout with these layers as the image `name`.
  CommandResult import_layers(const std::string& name, const std::vector<LayerSpec>& layers) const;
  CommandResult import_tar(const std::vector<TarEntry>& entries) const;

  // The unpacked layers of an image, top first. Fails the test if there are none.
  std::vector<std::filesystem::path> trees(const std::string& image) const;
  // The tree of the one layer of the image "image".
  std::filesystem::path tree() const;

  std::filesystem::path root() const { return dir_ / "root"; }
  // Names in a directory of the store, sorted.
  std::vector<std::string> listed(const std::string& name) const;
  // Nothing but the frame is in the store: no blob, no layer, no temporary, no reference.
  void expect_untouched() const;

  TempDir dir_;
};

struct stat status_of(const std::filesystem::path& path);
// The value of an extended attribute, "(none)" if it is not there.
std::string xattr_of(const std::filesystem::path& path, const std::string& name);
bool is_whiteout(const std::filesystem::path& path);
bool is_opaque(const std::filesystem::path& path);

}  // namespace layerfs::test
