#include "fs/op/lookup.h"

#include <limits.h>

#include "fs/op/file_system_state.h"

namespace layerfs::op {
namespace {

Result<Entry> look_at(FileSystem& fs, const tree::ShapeToken& shape, tree::Node& node) {
  LAYERFS_TRY_ASSIGN(struct stat st, fs.tree->attr(shape, node));
  node.lookups.fetch_add(1);
  return entry_of(fs, tree::Found{&node, st});
}

}  // namespace

Result<Entry> lookup(FileSystem& fs, NodeId parent, std::string_view name) {
  // The layers are not asked about names that are not there, so the limit is not theirs to tell.
  if (name.size() > NAME_MAX) return fail(ENAMETOOLONG);
  if (name == ".") {
    // Asked for a file handle, of files too, and of what the kernel does not know any more.
    auto shape = fs.tree->enter();
    LAYERFS_TRY_ASSIGN(tree::Found found, fs.tree->recall(shape, parent));
    if (found.attr.st_nlink == 0) {
      // Removed, and its FORGET is on the way: the kernel asks about what it has forgotten only.
      fs.tree->forget(shape, *found.node, 1);
      return fail(ESTALE);
    }
    return entry_of(fs, found);
  }
  LAYERFS_TRY_ASSIGN(tree::Node * dir, find_dir(fs, parent));
  auto shape = fs.tree->enter();
  if (name == "..") {
    tree::Node* above = dir->parent.load();
    return look_at(fs, shape, above == nullptr ? *dir : *above);
  }
  LAYERFS_TRY_ASSIGN(tree::Found found, fs.tree->child(shape, *dir, name));
  return entry_of(fs, found);
}

void forget(FileSystem& fs, NodeId id, std::uint64_t count) noexcept {
  tree::Node* node = fs.tree->exact_node(id);
  if (node == nullptr || id == kRootNode) return;
  const bool file = S_ISREG(node->type);
  {
    auto shape = fs.tree->enter();
    fs.tree->forget(shape, *node, count);
  }
  if (file && fs.tree->exact_node(id) == nullptr) fs.open_files.forget(id);
}

}  // namespace layerfs::op
