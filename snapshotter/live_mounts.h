// Mounts that the server makes itself, for containerd to bind.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "fs/sys/unique_fd.h"
#include "layerstore/store_dir.h"
#include "snapshotter/mount_plan.h"
#include "snapshotter/refusal.h"

namespace layerfs::snapshotter {

// One mount point per snapshot: containerd/mounts/ID in the store. The daemons are processes of
// their own, which outlive this one. Of calls with the same id there is one at a time.
class LiveMounts {
 public:
  // `program`: layerfs, a name on the PATH or a path.
  static Answer<LiveMounts> open(const store::StoreDir& store, std::string program);

  // The mount point, mounted; anew if the daemon is dead.
  Answer<std::string> ensure(std::int64_t id, const MountPlan& plan) const;
  // Unmounts, if mounted; what was written is with the file system below then. What still uses the
  // mount keeps it for itself.
  Answer<void> drop(std::int64_t id) const;
  // Drops all but these.
  Answer<void> keep_only(const std::vector<std::int64_t>& ids) const;

 private:
  LiveMounts(sys::UniqueFd fd, std::string base, std::string program)
      : fd_(std::move(fd)), base_(std::move(base)), program_(std::move(program)) {}
  Answer<void> remove_point(std::int64_t id) const;
  std::string path(std::int64_t id) const { return base_ + "/" + std::to_string(id); }

  sys::UniqueFd fd_;  // of base_
  std::string base_;
  std::string program_;
};

}  // namespace layerfs::snapshotter
