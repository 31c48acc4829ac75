// The layers below all others whose files are data of metacopies.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "fs/layer/layer.h"
#include "fs/sys/result.h"
#include "fs/sys/unique_fd.h"

namespace layerfs::tree {

// Data-only layers (doc/formats.md), topmost first. Immutable once all are added; thread-safe then.
class DataOnlyLayers {
 public:
  // Below those that are there.
  void add(std::unique_ptr<layer::Layer> layer) { layers_.push_back(std::move(layer)); }
  bool any() const { return !layers_.empty(); }
  // Whether `check` is true of the root directory of one.
  bool any_root(const std::function<bool(int)>& check) const;

  // Opens the regular file with this absolute path in the first layer that has one, with the flags
  // of open(2). No symlink is followed. EIO if no layer has it.
  Result<sys::UniqueFd> open(const std::string& path, int flags) const;

 private:
  std::vector<std::unique_ptr<layer::Layer>> layers_;
};

}  // namespace layerfs::tree
