// What stands behind the FileSystem that the operations are given. For fs/op only.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <random>

#include "fs/op/file_system.h"
#include "fs/op/open_files.h"
#include "fs/op/refusals.h"
#include "fs/op/types.h"
#include "fs/tree/tree.h"

namespace layerfs::op {

// The stored owner and group of what is created by somebody whom the mapping does not know. Nothing
// where there is no such id, or where the file could not be given it and would be the daemon's.
struct Nobody {
  std::optional<uid_t> user;
  std::optional<gid_t> group;
};
Nobody nobody_of(const tree::Tree& tree, const IdMaps& ids);

class FileSystem {
 public:
  FileSystem(std::unique_ptr<tree::Tree> tree_, const StackOptions& options)
      : tree(std::move(tree_)),
        open_files(*tree, options.passthrough),
        ids(options.ids),
        nobody(nobody_of(*tree, options.ids)) {}

  bool read_only() const { return tree->upper() == nullptr; }
  bool is_volatile() const { return tree->stack().options().volatile_upper; }

  const std::unique_ptr<tree::Tree> tree;
  OpenFiles open_files;
  // Of the file handles of this mount.
  const std::uint32_t generation = std::random_device{}() | 1;
  Refusals refusals;
  const IdMaps ids;
  const Nobody nobody;
};

// The node of an id; ESTALE for one that the kernel cannot know.
Result<tree::Node*> find_node(FileSystem& fs, NodeId id);
// The same for a directory; ENOTDIR for another.
Result<tree::Node*> find_dir(FileSystem& fs, NodeId id);

// See op::attr_lasts in attr.h.
bool attr_lasts(const tree::Node& node);

// What a lookup gives.
Entry entry_of(const FileSystem& fs, const tree::Found& found);

// An object of the caller's, or nobody's if the mapping does not know the caller. It is setuid or
// setgid only if it is the caller's own. EOVERFLOW if it could be nobody's neither.
Result<tree::NewObject> new_object(const FileSystem& fs, const Caller& caller, mode_t mode);

}  // namespace layerfs::op
