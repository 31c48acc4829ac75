// One read-only directory layer.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "fs/layer/index.h"
#include "fs/layer/observer.h"
#include "fs/layer/owner_records.h"
#include "fs/layer/whiteouts.h"
#include "fs/sys/failure.h"
#include "fs/sys/unique_fd.h"

namespace layerfs::layer {

// Where a layer is, and what is known of it.
struct LayerSource {
  std::string path;
  std::string index;                        // the file that holds its index, or empty
  std::optional<Whiteouts> whiteouts = {};  // nothing: find_whiteouts() says
};

// A lower layer's root. Immutable and thread-safe.
class Layer {
 public:
  // Opens the directory, where the privilege is there through a private read-only clone of its
  // mount, so that a mistake of this program is an error and not a changed layer. An index that is
  // missing, broken or not of this very directory and kind of marks is not used; all but the first
  // are logged.
  // Where its root says so, owners and modes are those of its records; `owners` says which records
  // count, and whose they are shown to be. What is wrong with its objects is told to `observer`,
  // which outlives the layer.
  static Outcome<std::unique_ptr<Layer>> open(const LayerSource& source, bool user_xattr,
                                              const RecordedOwners& owners, Observer& observer);

  int root() const { return root_.get(); }  // O_PATH; the layer's own
  dev_t device() const { return device_; }  // of the root
  // Whether what is mounted on a directory or file of the layer shows instead of it.
  bool shows_mounts() const { return shows_mounts_; }
  // Whether `.wh.NAME` in it is a whiteout and no name.
  bool has_aufs_whiteouts() const { return whiteouts_ == Whiteouts::kAufs; }
  const Index* index() const { return index_.get(); }  // null: it has none
  const OwnerRecords& records() const { return records_; }
  const std::string& path() const { return path_; }  // as it was given, for messages
  const Reporter& reporter() const { return reporter_; }

 private:
  Layer() = default;
  std::string path_;
  sys::UniqueFd root_;
  dev_t device_ = 0;
  bool shows_mounts_ = false;
  Whiteouts whiteouts_ = Whiteouts::kOverlay;
  std::unique_ptr<Index> index_;
  OwnerRecords records_;
  Reporter reporter_;
};

}  // namespace layerfs::layer
