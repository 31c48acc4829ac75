// Further names for an inode of the upper.
#include <dirent.h>
#include <fcntl.h>

#include "fs/layer/marks.h"
#include "fs/sys/file.h"
#include "fs/sys/xattr.h"
#include "fs/tree/tree.h"

namespace layerfs::tree {

Result<void> Tree::name_lower_data(const sys::At& at, const Node& node) {
  if (!node.has(Node::kMetacopy)) return {};
  const std::string dir = node.lower.dir->union_path();
  const std::string redirect =
      (dir.empty() ? "/" : "/" + dir + "/") + std::string(node.lower.name.view());
  return sys::set_xattr(at, stack_->names().mark(layer::mark::kRedirect), redirect);
}

Result<void> Tree::allow_link(Node& node, Node& dir) {
  auto shape = enter();
  LAYERFS_TRY(allow_new_name(shape, dir));
  LAYERFS_TRY_ASSIGN(const layer::Protattr marks, protection(shape, node));
  if (marks.immutable || marks.append) return fail(EPERM);
  return {};
}

Result<Found> Tree::link(Node& node, Node& dir, std::string_view name) {
  LAYERFS_TRY(allow_link(node, dir));
  LAYERFS_TRY(copy_up(node, CopyUpDepth::metadata()));
  LAYERFS_TRY(copy_up(dir, CopyUpDepth::metadata()));
  auto shape = enter();
  sys::UniqueFd inode;
  {
    LAYERFS_TRY_ASSIGN(Place at, place(shape, node));
    LAYERFS_TRY_ASSIGN(inode, at.open_path());
  }
  {
    std::unique_lock lock(dir.dir->mutex);
    if (dir.has(Node::kDetached)) return fail(ENOENT);
    LAYERFS_TRY(load(shape, dir));
    Entry* there = dir.dir->find(name);
    if (there != nullptr && !there->whiteout) return fail(EEXIST);
    LAYERFS_TRY_ASSIGN(FdRef dirfd, upper_dir(shape, dir));
    LAYERFS_TRY(name_lower_data(sys::At(inode.get()), node));
    LAYERFS_TRY(keep_origin_visible(node, inode.get(), dir, dirfd->get()));
    LAYERFS_TRY(keep_number(node, inode.get()));
    if (node.has(Node::kIndexed)) LAYERFS_TRY(settle_before_change(inode.get(), node.lower));
    LAYERFS_TRY(link_into(inode.get(), dirfd->get(), std::string(name).c_str(), there != nullptr));
    LAYERFS_TRY(enter_link(node, dir, name, inode.get()));
  }
  node.lookups.fetch_add(1);
  auto st = attr(shape, node);
  if (!st) {
    forget(shape, node, 1);
    return fail(st.error());
  }
  return Found{&node, *st};
}

Result<void> Tree::keep_origin_visible(const Node& node, int inode, Node& dir, int dirfd) {
  if (dir.dir->impure) return {};
  // A lower inode is found without an origin, too.
  const bool over_lower = node.is_dir() ? !node.dir->lowers.empty() : node.has(Node::kMetacopy);
  if (over_lower) return mark_impure(dir, dirfd);
  LAYERFS_TRY_ASSIGN(const auto origin,
                     sys::find_xattr(sys::At(inode), stack_->names().mark(layer::mark::kOrigin)));
  return origin ? mark_impure(dir, dirfd) : Result<void>();
}

void Tree::remember_lower_name(Node& node, Node& dir, const Entry& entry) {
  // A node whose copy-up broke the link, as index=off has it, is not what the name leads to.
  if (upper() == nullptr || (node.has(Node::kUpper) && !node.has(Node::kIndexed))) return;
  pin(dir);
  if (!hard_links_.add_alias(node, dir, entry.name)) dir.pins.fetch_sub(1);
}

Result<void> Tree::link_lower_names(Node& node) {
  Result<void> status;
  for (const HardLinks::Alias& alias : hard_links_.take_aliases(node)) {
    if (status) status = copy_up(*alias.dir, CopyUpDepth::metadata());
    auto shape = enter();
    if (status) status = link_lower_name(shape, node, alias);
    unpin(shape, *alias.dir);
  }
  return status;
}

Result<void> Tree::link_lower_name(const ShapeToken& shape, Node& node,
                                   const HardLinks::Alias& alias) {
  sys::UniqueFd inode;
  {
    LAYERFS_TRY_ASSIGN(Place at, place(shape, node));
    LAYERFS_TRY_ASSIGN(inode, at.open_path());
  }
  Node& dir = *alias.dir;
  std::unique_lock lock(dir.dir->mutex);
  if (dir.has(Node::kDetached)) return {};
  Entry* entry = dir.dir->find(alias.name.view());
  if (entry == nullptr || entry->whiteout || entry->top == Entry::kInUpper) return {};
  LAYERFS_TRY_ASSIGN(FdRef dirfd, upper_dir(shape, dir));
  LAYERFS_TRY_ASSIGN(struct stat before, sys::stat_fd(dirfd->get()));
  LAYERFS_TRY(keep_origin_visible(node, inode.get(), dir, dirfd->get()));
  if (node.has(Node::kIndexed)) {
    const LowerFile lower{dir.dir->lowers[entry->top], entry->name};
    LAYERFS_TRY(link_indexed(inode.get(), lower, dirfd->get(), alias.name));
  } else {
    LAYERFS_TRY(sys::link_fd(inode.get(), dirfd->get(), alias.name.c_str()));
  }
  // As in a copy-up: nobody asked for a change of the directory.
  (void)sys::set_times(dirfd->get(), before.st_atim, before.st_mtim);
  entry->top = Entry::kInUpper;
  entry->lower_below = true;
  if (const auto st = sys::stat_fd(inode.get())) note_name(node, dir, *entry, *st);
  return {};
}

Result<void> Tree::link_into(int inode, int dirfd, const char* name, bool over_whiteout) {
  if (!over_whiteout) return sys::link_fd(inode, dirfd, name);
  WorkName aside(*upper()->work);
  LAYERFS_TRY(sys::link_fd(inode, aside.dirfd(), aside.c_str()));
  aside.made();
  LAYERFS_TRY(sys::rename_at(aside.dirfd(), aside.c_str(), dirfd, name));
  aside.published();
  return {};
}

Result<void> Tree::enter_link(Node& node, Node& dir, std::string_view name, int inode) {
  Entry& entry = dir.dir->insert(name);
  entry.top = Entry::kInUpper;
  entry.type = static_cast<unsigned char>(IFTODT(node.type));
  // Another name of a known node: its inode number is the node's as long as that is known.
  entry.set_ino(0);
  entry.whiteout = false;
  // The first name of an O_TMPFILE, or the first that is known.
  if (give_place(node, dir, entry)) return {};
  LAYERFS_TRY_ASSIGN(const struct stat st, sys::stat_fd(inode));
  hard_links_.insert(node, InodeId::of(st));
  other_names_.add(node.id, {dir.id, dir.dir->key_of(entry)});
  return {};
}

}  // namespace layerfs::tree
