// A snapshotter over a store of the test's own, and its mounts carried out as containerd does.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "snapshotter/snapshotter.h"
#include "tests/support/image.h"
#include "tests/support/tar.h"
#include "tests/support/temp_dir.h"

namespace layerfs::test {

using snapshotter::Answer;
using snapshotter::Code;
using snapshotter::Info;
using snapshotter::Kind;
using snapshotter::Labels;
using snapshotter::Mount;
using snapshotter::Usage;

class SnapshotterTest : public testing::Test {
 protected:
  SnapshotterTest();
  ~SnapshotterTest() override;

  // Another process's: the old one is gone first.
  void restart();
  void stop() { snapshotter_.reset(); }
  snapshotter::Snapshotter& snapshots() { return *snapshotter_; }

  // Carries the mounts out on a new directory, or on `point`.
  std::filesystem::path mount(const std::vector<Mount>& mounts);
  void mount_at(const std::vector<Mount>& mounts, const std::filesystem::path& point);
  void unmount(const std::filesystem::path& point);

  // Prepares `key` over `parent`, runs the shell script in what it shows, commits it as `name`.
  void layer(const std::string& name, const std::string& parent, const std::string& script);
  // The same as containerd's unpacker does it: the name is the chain ID of layers whose diffIDs
  // these are, the topmost last, and `parent` what the layer below was committed as.
  std::string unpack(const std::string& name_space, const std::vector<std::string>& diff_ids,
                     const std::string& parent, const std::string& script,
                     const Labels& labels = {});
  // What a script says in a view of the committed snapshot.
  std::string shown(const std::string& name, const std::string& script);

  // Directories, layers, pins and rows agree, nothing is in tmp, and each committed snapshot can be
  // mounted. Cleans up before.
  void expect_consistent();

  // `layerfs ARGS... --root ROOT`: its output; the test fails if it fails.
  std::string layerfs(std::vector<std::string> args) const;
  // Imports a layout with these layers as the image `name`.
  void import_layers(const std::string& name, const std::vector<LayerSpec>& layers) const;

  std::filesystem::path root() const { return root_; }
  // Names in a directory of the store, sorted; none if it is not there.
  std::vector<std::string> listed(const std::string& name) const;

  TempDir dir_;
  std::filesystem::path root_ = dir_ / "root";  // the store
  snapshotter::Options options_;

 private:
  std::unique_ptr<snapshotter::Snapshotter> snapshotter_;
  int next_ = 0;
};

// The chain ID of layers with these diffIDs ("sha256:..."), bottom first.
std::string chain_id(const std::vector<std::string>& diff_ids);

// For EXPECT_THAT(answer, Refused(Code::kNotFound)).
MATCHER_P(Refused, code, "") {
  if (arg.has_value()) {
    *result_listener << "which was granted";
    return false;
  }
  *result_listener << arg.error().sentence;
  return arg.error().code == code;
}

MATCHER(Granted, "") {
  if (!arg.has_value()) *result_listener << arg.error().sentence;
  return arg.has_value();
}

}  // namespace layerfs::test
