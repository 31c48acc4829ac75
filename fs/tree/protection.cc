// The marks of chattr(1) that hold changes up, root's too. The kernel would check them, but knows
// those of its own inodes only. Of a lower inode they are what the layer's file system says; in the
// upper they are kept aside (overlay.protattr), where they do not hold up the daemon itself.
#include <fcntl.h>

#include "fs/layer/marks.h"
#include "fs/sys/inode_marks.h"
#include "fs/sys/xattr.h"
#include "fs/tree/tree.h"

namespace layerfs::tree {
namespace {

layer::Protattr known_protection(const Node& node) {
  return {.append = node.has(Node::kAppendOnly), .immutable = node.has(Node::kImmutable)};
}

}  // namespace

void Tree::note_protection(Node& node, const layer::Protattr& protection) {
  if (protection.immutable) node.set(Node::kImmutable);
  if (protection.append) node.set(Node::kAppendOnly);
}

Result<layer::Protattr> Tree::protection(const ShapeToken& shape, Node& node) {
  if (node.has(Node::kUpper) || node.has(Node::kProtectionKnown)) return known_protection(node);
  // Nothing in an image can be marked so.
  const bool indexed = shown_lower(node)->layer->index() != nullptr;
  if (!indexed && (node.is_dir() || S_ISREG(node.type))) {
    LAYERFS_TRY_ASSIGN(const Place at, place(shape, node));
    LAYERFS_TRY_ASSIGN(const sys::InodeMarks marks, sys::holding_marks(at.at()));
    note_protection(node, {.append = marks.append_only, .immutable = marks.immutable});
  }
  node.set(Node::kProtectionKnown);
  return known_protection(node);
}

Result<void> Tree::allow_new_name(const ShapeToken& shape, Node& dir) {
  LAYERFS_TRY_ASSIGN(const layer::Protattr marks, protection(shape, dir));
  if (marks.immutable) return fail(EPERM);
  return {};
}

Result<void> Tree::allow_removal(const ShapeToken& shape, Node& dir, Node& child) {
  LAYERFS_TRY_ASSIGN(const layer::Protattr marks, protection(shape, dir));
  LAYERFS_TRY_ASSIGN(const layer::Protattr marks_of_child, protection(shape, child));
  for (const layer::Protattr& held : {marks, marks_of_child})
    if (held.immutable || held.append) return fail(EPERM);
  return {};
}

Result<void> Tree::set_protection(const ShapeToken& shape, Node& node,
                                  const layer::Protattr& wanted) {
  const layer::Protattr before = known_protection(node);
  if (wanted == before) return {};
  LAYERFS_TRY_ASSIGN(const Place at, place(shape, node));
  LAYERFS_TRY(write_protection(at.at(), wanted));
  note_protection(node, wanted);
  if (!wanted.immutable) node.clear(Node::kImmutable);
  if (!wanted.append) node.clear(Node::kAppendOnly);
  return {};
}

Result<void> Tree::write_protection(const sys::At& at, const layer::Protattr& protection) const {
  const std::string name = stack_->names().mark(layer::mark::kProtattr);
  const std::string value = layer::format_protattr(protection);
  if (!value.empty()) return sys::set_xattr(at, name, value);
  auto removed = sys::remove_xattr(at, name);
  if (!removed && removed.error() == Errno(ENODATA)) return {};
  return removed;
}

// The kernel asks the file system below once more here, and so do we: a FUSE file system tells its
// marks by this call only, so that they count from the copy-up on.
Result<void> Tree::copy_protection(Node& node, const Place& from, int copy) const {
  if (shown_lower(node)->layer->index() != nullptr) return {};
  if (!node.is_dir() && !S_ISREG(node.type)) return {};
  const auto lower = from.open(O_RDONLY | (node.is_dir() ? O_DIRECTORY : 0));
  // Without privilege the attributes of what may not be read can still be changed.
  if (!lower && lower.error() != Errno(EACCES)) return fail(lower.error());
  if (lower) {
    LAYERFS_TRY_ASSIGN(const sys::InodeMarks marks, sys::inode_marks(lower->get()));
    note_protection(node, {.append = marks.append_only, .immutable = marks.immutable});
    // The upper's file system may have one of them or none, and then goes without.
    if (marks.sync) (void)sys::add_inode_marks(copy, {.sync = true});
    if (marks.no_atime) (void)sys::add_inode_marks(copy, {.no_atime = true});
  }
  const layer::Protattr held = known_protection(node);
  if (!held.append && !held.immutable) return {};
  return write_protection(sys::At(copy), held);
}

}  // namespace layerfs::tree
