#include "fs/op/cost.h"

#include <fcntl.h>

#include <algorithm>

#include "fs/op/file_system_state.h"

namespace layerfs::op {
namespace {

// Copying so much takes about as long as waking another thread.
constexpr off_t kMuch = 64 << 10;

bool copies_much(FileSystem& fs, NodeId id, off_t limit) {
  tree::Node* node = fs.tree->node(id);
  if (node == nullptr || !S_ISREG(node->type) || fs.read_only()) return false;
  if (tree::Tree::has_upper_data(*node) || limit < kMuch) return false;
  auto shape = fs.tree->enter();
  const auto attr = fs.tree->attr(shape, *node);
  return attr && std::min(attr->st_size, limit) >= kMuch;
}

}  // namespace

bool open_copies_much(FileSystem& fs, NodeId node, int flags) {
  if ((flags & O_ACCMODE) == O_RDONLY || (flags & O_TRUNC) != 0) return false;
  return copies_much(fs, node, tree::CopyUpDepth::kWhole);
}

bool change_copies_much(FileSystem& fs, NodeId node, std::optional<off_t> size) {
  if (!size && fs.tree->stack().options().metacopy) return false;
  return copies_much(fs, node, size.value_or(tree::CopyUpDepth::kWhole));
}

bool removal_waits(const FileSystem& fs) { return fs.tree->removed_fds().are_many(); }

}  // namespace layerfs::op
