// Names go: by unlink where only the upper has them, by a whiteout where a lower would show again.
#include <dirent.h>
#include <fcntl.h>

#include "fs/sys/file.h"
#include "fs/sys/inode_marks.h"
#include "fs/tree/tree.h"

namespace layerfs::tree {
namespace {

bool needs_whiteout(const Entry& entry) {
  return entry.top != Entry::kInUpper || entry.lower_below;
}

}  // namespace

Result<void> Tree::unlink(Node& dir, std::string_view name) {
  for (int tries = 0; tries < 8; ++tries) {
    auto status = unlink_once(dir, name);
    if (status || status.error() != Errno(EAGAIN)) return status;
  }
  return fail(EBUSY);
}

Result<void> Tree::unlink_once(Node& dir, std::string_view name) {
  Node* child = nullptr;
  Result<void> status;
  {
    auto shape = enter();
    LAYERFS_TRY_ASSIGN(Made made, hold_child(shape, dir, name));
    child = made.node;
    status = allow_removal(shape, dir, *child);
  }
  if (status) status = prepare_unlink(dir, name, *child);
  auto shape = enter();
  if (status) status = remove_file(shape, dir, name, *child);
  forget(shape, *child, 1);
  return status;
}

Result<void> Tree::prepare_unlink(Node& dir, std::string_view name, Node& child) {
  LAYERFS_TRY(copy_up(dir, CopyUpDepth::metadata()));
  // A lower inode with several names loses one: what is left must count one less, here and after a
  // remount, and only the index can remember that.
  if (child.has(Node::kHardLink) && !child.has(Node::kUpper))
    LAYERFS_TRY(copy_up(child, CopyUpDepth::metadata()));
  return leave_place(dir, name, child);
}

Result<void> Tree::remove_file(const ShapeToken& shape, Node& dir, std::string_view name,
                               Node& child) {
  std::unique_lock lock(dir.dir->mutex);
  Entry* entry = dir.dir->find(name);
  if (entry == nullptr || entry->whiteout) return fail(ENOENT);
  if (entry->type == DT_DIR) return fail(EISDIR);
  if (entry->node() != nullptr && entry->node() != &child) return fail(EAGAIN);
  LAYERFS_TRY_ASSIGN(FdRef dirfd, upper_dir(shape, dir));
  return remove_entry(dir, *entry, dirfd->get(), child);
}

Result<void> Tree::bring_indexed_name(Node& dir, Entry& entry, int dirfd) {
  if (entry.top == Entry::kInUpper || !upper()->work->index_in_use()) return {};
  const LowerFile lower{dir.dir->lowers[entry.top], entry.name};
  LAYERFS_TRY_ASSIGN(struct stat st, lower_stat(lower.dir, lower.name));
  if (S_ISDIR(st.st_mode) || st.st_nlink < 2) return {};
  if (!stack_->keeps_links(st.st_dev, st.st_mode & S_IFMT)) return {};
  LAYERFS_TRY_ASSIGN(const Indexed indexed, make_indexed_node(lower, st));
  if (indexed.node == nullptr) return {};
  LAYERFS_TRY(keep_origin_visible(*indexed.node, indexed.fd.get(), dir, dirfd));
  LAYERFS_TRY(link_indexed(indexed.fd.get(), lower, dirfd, entry.name));
  entry.top = Entry::kInUpper;
  entry.lower_below = true;
  return {};
}

Result<void> Tree::remove_entry(Node& dir, Entry& entry, int dirfd, Node& child) {
  LAYERFS_TRY(bring_indexed_name(dir, entry, dirfd));
  sys::UniqueFd indexed;
  if (entry.top == Entry::kInUpper && upper()->work->index_in_use()) {
    LAYERFS_TRY_ASSIGN(indexed, open_to_keep(dirfd, entry.name.c_str()));
    LAYERFS_TRY(settle_before_change(indexed.get(), {}));
  }
  LAYERFS_TRY(keep_reachable(child, entry, dirfd));
  if (auto removed = remove_name(entry, dirfd); !removed) {
    stay_reachable(child);
    return removed;
  }
  drop_name(child, dir, entry);
  if (entry.node() == &child) {
    child.set(Node::kDetached);
    stack_->numbers().release(child.ino);
  }
  if (needs_whiteout(entry))
    turn_into_whiteout(*dir.dir, entry);
  else
    dir.dir->erase(entry);
  if (indexed) drop_from_index(indexed.get());
  return {};
}

Result<void> Tree::remove_name(const Entry& entry, int dirfd) {
  WorkDir& work = *upper()->work;
  const char* name = entry.name.c_str();
  if (!needs_whiteout(entry)) return sys::unlink_at(dirfd, name);
  if (entry.top != Entry::kInUpper) return work.make_whiteout(dirfd, name);
  WorkName whiteout(work);
  LAYERFS_TRY(work.make_whiteout(work.fd(), whiteout.c_str()));
  whiteout.made();
  LAYERFS_TRY(sys::rename_at(work.fd(), whiteout.c_str(), dirfd, name));
  whiteout.published();
  return {};
}

void Tree::turn_into_whiteout(Directory& dir, Entry& entry) {
  dir.merge_nothing_below(entry);
  entry.set_ino(0);
  entry.top = Entry::kInUpper;
  entry.whiteout = true;
  entry.lower_below = true;
}

bool Tree::shows_nothing(const Directory& dir) {
  for (const auto& [key, entry] : dir.entries)
    if (!entry.whiteout) return false;
  return true;
}

Result<void> Tree::rmdir(Node& dir, std::string_view name) {
  Node* child = nullptr;
  Result<void> status;
  {
    auto shape = enter();
    LAYERFS_TRY_ASSIGN(Made made, hold_child(shape, dir, name));
    child = made.node;
    status = allow_removal(shape, dir, *child);
  }
  if (status) status = copy_up(dir, CopyUpDepth::metadata());
  auto shape = enter();
  if (status) status = remove_child_dir(shape, dir, name, *child);
  forget(shape, *child, 1);
  return status;
}

Result<void> Tree::remove_child_dir(const ShapeToken& shape, Node& dir, std::string_view name,
                                    Node& child) {
  if (!child.is_dir()) return fail(ENOTDIR);
  std::unique_lock lock(dir.dir->mutex);
  Entry* entry = dir.dir->find(name);
  if (entry == nullptr || entry->node() != &child) return fail(ENOENT);
  std::unique_lock child_lock(child.dir->mutex);
  LAYERFS_TRY(load(shape, child));
  LAYERFS_TRY_ASSIGN(FdRef dirfd, upper_dir(shape, dir));
  if (!shows_nothing(*child.dir)) {
    LAYERFS_TRY_ASSIGN(const sys::InodeMarks marks, sys::holding_marks(sys::At(dirfd->get())));
    return fail(marks.immutable || marks.append_only ? EPERM : ENOTEMPTY);
  }
  return remove_dir_entry(dir, *entry, dirfd->get(), child);
}

Result<void> Tree::remove_dir_entry(Node& dir, Entry& entry, int dirfd, Node& child) {
  LAYERFS_TRY(keep_reachable(child, entry, dirfd));
  if (auto removed = remove_dir_name(entry, dirfd, child); !removed) {
    stay_reachable(child);
    return removed;
  }
  child.set(Node::kDetached);
  stack_->numbers().release(child.ino);
  if (needs_whiteout(entry))
    turn_into_whiteout(*dir.dir, entry);
  else
    dir.dir->erase(entry);
  return {};
}

Result<void> Tree::remove_dir_name(const Entry& entry, int dirfd, const Node& child) {
  WorkDir& work = *upper()->work;
  const char* name = entry.name.c_str();
  const bool whiteout = needs_whiteout(entry);
  if (entry.top != Entry::kInUpper) return work.make_whiteout(dirfd, name);
  if (!whiteout && child.dir->entries.empty()) return sys::remove_dir(dirfd, name);
  // The directory still holds whiteouts. One rename takes it away whole; they go after.
  WorkName aside(work);
  aside.holds_much();
  if (whiteout) {
    LAYERFS_TRY(work.make_whiteout(work.fd(), aside.c_str()));
    aside.made();
    return sys::rename_at(work.fd(), aside.c_str(), dirfd, name, RENAME_EXCHANGE);
  }
  LAYERFS_TRY(sys::rename_at(dirfd, name, work.fd(), aside.c_str()));
  aside.made();
  return {};
}

}  // namespace layerfs::tree
