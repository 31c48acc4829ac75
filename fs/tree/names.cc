// Which of the names of an inode is its node's place.
#include "fs/sys/file.h"
#include "fs/tree/tree.h"

namespace layerfs::tree {
namespace {

bool is_same_inode(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

}  // namespace

bool Tree::give_place(Node& node, Node& dir, Entry& entry) {
  Node* none = nullptr;
  if (!node.has(Node::kDetached)) return false;
  pin(dir);
  if (!node.parent.compare_exchange_strong(none, &dir)) {
    dir.pins.fetch_sub(1);
    return false;
  }
  node.name = entry.name;
  entry.set_node(node);
  node.clear(Node::kDetached);
  other_names_.remove(node.id, {dir.id, dir.dir->key_of(entry)});
  unplaced_.erase(node);
  return true;
}

void Tree::note_name(Node& node, Node& dir, Entry& entry, const struct stat& st) {
  if (!node.has(Node::kUpper)) return;
  if (node.is_unplaced()) {
    const auto fd = unplaced_.open(node);
    const auto own = fd ? sys::stat_fd((*fd)->get()) : fail(fd.error());
    if (own && is_same_inode(*own, st) && give_place(node, dir, entry)) return;
  }
  other_names_.add(node.id, {dir.id, dir.dir->key_of(entry)});
}

void Tree::drop_name(Node& node, Node& dir, const Entry& entry) {
  if (node.has(Node::kHardLink)) other_names_.remove(node.id, {dir.id, dir.dir->key_of(entry)});
}

Result<int> Tree::names_left(const sys::At& at, const struct stat& st, const Node& node) {
  if (!node.has(Node::kIndexed)) return static_cast<int>(st.st_nlink) - 1;
  LAYERFS_TRY_ASSIGN(const int count, union_nlink(at, st, node.lower));
  return count - 1;
}

Result<Tree::NamePlace> Tree::find_other_name(const ShapeToken& shape, const Node& node,
                                              const struct stat& st) {
  for (const KnownName& name : other_names_.of(node.id)) {
    Node* dir = table_.find(name.dir);
    if (dir == nullptr || !dir->is_dir() || dir->has(Node::kDetached)) continue;
    const auto at = dir->dir->entries.find(name.key);
    if (at == dir->dir->entries.end()) continue;
    Entry& entry = at->second;
    if (entry.whiteout || entry.top != Entry::kInUpper || entry.node() != nullptr) continue;
    LAYERFS_TRY_ASSIGN(const FdRef dirfd, upper_dir(shape, *dir));
    const auto found = sys::stat_at(dirfd->get(), entry.name.c_str());
    if (found && is_same_inode(*found, st)) return NamePlace{dir, &entry};
  }
  return NamePlace{};
}

Result<Node*> Tree::move_place(const ShapeLock::Exclusive& lock, Node& dir, Entry& entry,
                               Node& node) {
  const ShapeToken shape(lock);
  LAYERFS_TRY_ASSIGN(const FdRef dirfd, upper_dir(shape, dir));
  const sys::At at(dirfd->get(), entry.name.c_str());
  LAYERFS_TRY_ASSIGN(const struct stat st, sys::stat_of(at));
  LAYERFS_TRY_ASSIGN(const int left, names_left(at, st, node));
  if (left <= 0) return nullptr;
  LAYERFS_TRY_ASSIGN(const NamePlace other, find_other_name(shape, node, st));
  if (other.entry == nullptr && !unplaced_.keep_by_handle(node, at.fd, at.name)) {
    LAYERFS_TRY_ASSIGN(sys::UniqueFd fd, open_to_keep(at.fd, at.name));
    unplaced_.keep(node, std::move(fd));
  }
  entry.set_ino(node.ino);
  if (other.entry == nullptr) {
    node.set(Node::kDetached);
    return node.parent.exchange(nullptr);
  }
  other.entry->set_node(node);
  other_names_.remove(node.id, {other.dir->id, other.dir->dir->key_of(*other.entry)});
  node.name = other.entry->name;
  pin(*other.dir);
  return node.parent.exchange(other.dir);
}

Result<void> Tree::leave_place(Node& dir, std::string_view name, Node& node) {
  if (!node.has(Node::kHardLink) || !node.has(Node::kUpper) || node.parent.load() != &dir)
    return {};
  Node* left = nullptr;
  {
    const ShapeLock::Exclusive shape(shape_);
    Entry* entry = dir.dir->find(name);
    if (entry == nullptr || entry->node() != &node) return {};
    LAYERFS_TRY_ASSIGN(left, move_place(shape, dir, *entry, node));
  }
  if (left != nullptr) unpin(enter(), *left);
  return {};
}

Result<sys::UniqueFd> Tree::open_to_keep(int dirfd, const char* name) {
  return with_room([&] { return sys::open_entry(dirfd, name); });
}

Result<void> Tree::keep_reachable(Node& node, const Entry& entry, int dirfd) {
  if (!node.has(Node::kUpper) || entry.top != Entry::kInUpper) return {};
  const bool placed = entry.node() == &node;
  if (!placed && !node.is_unplaced()) return {};
  const char* name = entry.name.c_str();
  if (node.has(Node::kHardLink)) {
    const sys::At at(dirfd, name);
    LAYERFS_TRY_ASSIGN(const struct stat st, sys::stat_of(at));
    LAYERFS_TRY_ASSIGN(const int left, names_left(at, st, node));
    if (left > 0) return placed ? fail(EAGAIN) : Result<void>();
  }
  LAYERFS_TRY_ASSIGN(sys::UniqueFd fd, open_to_keep(dirfd, name));
  if (!placed) {
    LAYERFS_TRY_ASSIGN(const FdRef own, unplaced_.open(node));
    LAYERFS_TRY_ASSIGN(const struct stat known, sys::stat_fd(own->get()));
    LAYERFS_TRY_ASSIGN(const struct stat here, sys::stat_fd(fd.get()));
    if (!is_same_inode(known, here)) return {};
  }
  unplaced_.keep(node, std::move(fd));
  return {};
}

void Tree::stay_reachable(Node& node) noexcept {
  if (!node.has(Node::kDetached)) unplaced_.erase(node);
}

}  // namespace layerfs::tree
