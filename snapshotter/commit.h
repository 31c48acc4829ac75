// A commit on its way: doc/snapshotter.md, "The order of things".
#pragma once

#include <optional>
#include <string>

#include "snapshotter/snapshotter.h"

namespace layerfs::snapshotter {

class Snapshotter::Commit {
 public:
  // `row` is an active snapshot whose lock the caller holds.
  Commit(Snapshotter& owner, const Row& row, const std::string& name, const Labels& labels)
      : owner_(owner), row_(row), name_(name), labels_(labels) {}

  Answer<void> run();

 private:
  Answer<void> find_chain();
  Answer<void> measure();
  // Writes what makes the directory a layer.
  Answer<void> complete();
  Answer<void> write_record() const;

  // The layer that the store has of this chain.
  std::optional<std::string> stored() const;
  Answer<void> adopt(const Layers::Locked& locked, const std::string& key);
  Answer<void> publish(const Layers::Locked& locked);
  Answer<void> move_in(const std::string& key) const;
  void take_back(const Layers::Locked& locked, const std::string& key, bool moved);

  Snapshotter& owner_;
  const Row row_;
  const std::string name_;
  Labels labels_;
  std::optional<store::Digest> chain_;
  std::optional<store::Digest> parent_chain_;
  Usage usage_;
};

}  // namespace layerfs::snapshotter
