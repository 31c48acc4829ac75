// Room that is kept for when the disk is full.
#pragma once

#include <string>

#include "fs/sys/unique_fd.h"
#include "layerstore/store_dir.h"
#include "snapshotter/refusal.h"

namespace layerfs::snapshotter {

// A file of some blocks that can be given up, so that what removes things can still be written
// down. Thread-safe.
class Reserve {
 public:
  // As much as the disk has room for.
  static Answer<Reserve> open(const store::StoreDir& store, const std::string& name);

  void give_up() const;
  void refill() const;

 private:
  explicit Reserve(sys::UniqueFd fd) : fd_(std::move(fd)) {}

  sys::UniqueFd fd_;
};

// Calls `change`, which returns an Answer, and if the disk is full once more without the reserve.
template <typename Change>
auto with_reserve(const Reserve& reserve, const Change& change) {
  auto answer = change();
  if (answer || answer.error().code != Code::kExhausted) return answer;
  reserve.give_up();
  return change();
}

}  // namespace layerfs::snapshotter
