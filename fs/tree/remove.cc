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

sys::UniqueFd Tree::keep_reachable(Node* node, int dirfd, const char* name) {
  if (node == nullptr || !node->has(Node::kUpper) || node->has(Node::kDetached)) return {};
  if (node->detached_fd) return {};
  // Without a descriptor (there are none left, say) only later requests on the removed file fail.
  auto fd = sys::open_entry(dirfd, name);
  return fd ? std::move(*fd) : sys::UniqueFd();
}

void Tree::detach(Node* node, sys::UniqueFd kept) noexcept {
  if (node == nullptr || node->has(Node::kDetached)) return;
  if (!node->detached_fd && kept) {
    node->detached_fd = std::move(kept);
    removed_fds_.add();
    node->set(Node::kRemovedFd);
  }
  node->set(Node::kDetached);
}

// A lower inode with several names loses one: what is left must count one less, here and after a
// remount, and only the index can remember that.
Result<void> Tree::prepare_unlink(const ShapeToken& shape, Node& dir, std::string_view name,
                                  Node*& to_copy_up) {
  LAYERFS_TRY_ASSIGN(Made made, hold_child(shape, dir, name));
  Node& node = *made.node;
  to_copy_up = nullptr;
  if (auto allowed = allow_removal(shape, dir, node); !allowed) {
    forget(shape, node, 1);
    return allowed;
  }
  if (node.has(Node::kHardLink) && !node.has(Node::kUpper)) {
    to_copy_up = &node;  // the lookup stays counted until it is done
    return {};
  }
  forget(shape, node, 1);
  return {};
}

Result<void> Tree::unlink(Node& dir, std::string_view name) {
  Node* linked = nullptr;
  {
    auto shape = enter();
    LAYERFS_TRY(prepare_unlink(shape, dir, name, linked));
  }
  if (auto copied = copy_up(dir, CopyUpDepth::metadata()); !copied) {
    if (linked != nullptr) forget(enter(), *linked, 1);
    return copied;
  }
  if (linked != nullptr) {
    auto copied = copy_up(*linked, CopyUpDepth::metadata());
    auto shape = enter();
    forget(shape, *linked, 1);
    if (!copied) return copied;
  }
  auto shape = enter();
  std::unique_lock lock(dir.dir->mutex);
  Entry* entry = dir.dir->find(name);
  if (entry == nullptr || entry->whiteout) return fail(ENOENT);
  if (entry->type == DT_DIR) return fail(EISDIR);
  LAYERFS_TRY_ASSIGN(FdRef dirfd, upper_dir(shape, dir));
  return remove_entry(dir, *entry, dirfd->get());
}

Result<void> Tree::bring_indexed_name(Node& dir, Entry& entry, int dirfd) {
  if (entry.top == Entry::kInUpper || !upper()->work->index_in_use()) return {};
  const LowerFile lower{dir.dir->lowers[entry.top], entry.name};
  LAYERFS_TRY_ASSIGN(struct stat st, lower_stat(lower.dir, lower.name));
  if (S_ISDIR(st.st_mode) || st.st_nlink < 2) return {};
  LAYERFS_TRY_ASSIGN(auto indexed, make_indexed_node(lower, st.st_ino));
  if (indexed == nullptr) return {};
  LAYERFS_TRY(keep_origin_visible(indexed->detached_fd.get(), dir, dirfd));
  LAYERFS_TRY(link_indexed(indexed->detached_fd.get(), lower, dirfd, entry.name));
  entry.top = Entry::kInUpper;
  entry.lower_below = true;
  return {};
}

Result<void> Tree::remove_entry(Node& dir, Entry& entry, int dirfd) {
  WorkDir& work = *upper()->work;
  const char* name = entry.name.c_str();
  Node* node = entry.node();
  LAYERFS_TRY(bring_indexed_name(dir, entry, dirfd));
  if (node == nullptr) forgotten_.erase(entry.ino());
  sys::UniqueFd kept = keep_reachable(node, dirfd, name);
  sys::UniqueFd indexed;
  if (entry.top == Entry::kInUpper && work.index_in_use()) {
    LAYERFS_TRY_ASSIGN(indexed, sys::open_entry(dirfd, name));
    LAYERFS_TRY(settle_before_change(indexed.get(), {}));
  }
  if (!needs_whiteout(entry)) {
    LAYERFS_TRY(sys::unlink_at(dirfd, name));
    detach(node, std::move(kept));
    dir.dir->erase(entry);
    if (indexed) drop_from_index(indexed.get());
    return {};
  }
  if (entry.top != Entry::kInUpper) {
    LAYERFS_TRY(work.make_whiteout(dirfd, name));
  } else {
    WorkName whiteout(work);
    LAYERFS_TRY(work.make_whiteout(work.fd(), whiteout.c_str()));
    whiteout.made();
    LAYERFS_TRY(sys::rename_at(work.fd(), whiteout.c_str(), dirfd, name));
    whiteout.published();
  }
  detach(node, std::move(kept));
  turn_into_whiteout(*dir.dir, entry);
  if (indexed) drop_from_index(indexed.get());
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
  WorkDir& work = *upper()->work;
  const char* name = entry.name.c_str();
  sys::UniqueFd kept = keep_reachable(&child, dirfd, name);
  const bool whiteout = needs_whiteout(entry);
  if (entry.top != Entry::kInUpper) {
    LAYERFS_TRY(work.make_whiteout(dirfd, name));
  } else if (!whiteout && child.dir->entries.empty()) {
    LAYERFS_TRY(sys::remove_dir(dirfd, name));
  } else {
    // The directory still holds whiteouts. One rename takes it away whole; they go after.
    WorkName aside(work);
    aside.holds_much();
    if (whiteout) {
      LAYERFS_TRY(work.make_whiteout(work.fd(), aside.c_str()));
      aside.made();
      LAYERFS_TRY(sys::rename_at(work.fd(), aside.c_str(), dirfd, name, RENAME_EXCHANGE));
    } else {
      LAYERFS_TRY(sys::rename_at(dirfd, name, work.fd(), aside.c_str()));
      aside.made();
    }
  }
  detach(&child, std::move(kept));
  if (whiteout)
    turn_into_whiteout(*dir.dir, entry);
  else
    dir.dir->erase(entry);
  return {};
}

}  // namespace layerfs::tree
