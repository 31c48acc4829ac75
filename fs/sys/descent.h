// Walking through directory trees of any depth.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <deque>
#include <string>
#include <vector>

#include "fs/sys/result.h"
#include "fs/sys/unique_fd.h"

namespace layerfs::sys {

// Where a walk through a tree stands. Each step costs the same however deep the tree is, takes one
// name, and never a path: the way back leads through "..", whose inode has to be the one that the
// walk came by. The descriptors of the last few levels stay open, and no others. Follows no
// symlink. Not thread-safe.
class Descent {
 public:
  // Begins in the directory `name` of `dirfd`, which is borrowed during the call.
  static Result<Descent> from(int dirfd, const char* name = ".");

  int fd() const { return open_.back().get(); }  // of the directory, open for reading
  std::size_t depth() const { return levels_.size() - 1; }
  // The names that lead here from the root, with slashes between; empty for the root.
  std::string path() const;

  // Into the directory `name`. ENOTDIR, ELOOP, ENOENT: it is none, or none any more. After an error
  // the walk stands where it stood.
  Result<void> enter(const char* name);
  // To the directory above; not from the root. ESTALE: somebody has moved the directory away. The
  // walk cannot go on then.
  Result<void> leave();
  // The name by which the walk came to where it stands; empty for the root.
  const std::string& name() const { return levels_.back().name; }

 private:
  struct Level {
    std::string name;
    dev_t device;
    ino_t inode;
  };

  Descent() = default;
  Result<void> add(std::string name, UniqueFd fd);

  std::vector<Level> levels_;
  std::deque<UniqueFd> open_;  // of the last levels, the deepest last; never empty
};

}  // namespace layerfs::sys
