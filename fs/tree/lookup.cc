#include <dirent.h>
#include <fcntl.h>

#include "fs/layer/marks.h"
#include "fs/sys/file.h"
#include "fs/tree/tree.h"

namespace layerfs::tree {

Result<Node*> Tree::known_child(Node& dir, std::string_view name) {
  std::shared_lock lock(dir.dir->mutex);
  Entry* entry = dir.dir->find(name);
  if (entry == nullptr || entry->whiteout) return fail(ENOENT);
  Node* node = entry->node();
  if (node != nullptr) node->lookups.fetch_add(1);
  return node;
}

Result<Tree::Made> Tree::hold_child(const ShapeToken& shape, Node& dir, std::string_view name) {
  LAYERFS_TRY(ensure_loaded(shape, dir));
  LAYERFS_TRY_ASSIGN(Node * known, known_child(dir, name));
  if (known != nullptr) return Made{known, std::nullopt};
  std::unique_lock lock(dir.dir->mutex);
  Entry* entry = dir.dir->find(name);
  if (entry == nullptr || entry->whiteout) return fail(ENOENT);
  Node* node = entry->node();
  if (node == nullptr) return make_node(shape, dir, *entry);
  node->lookups.fetch_add(1);
  return Made{node, std::nullopt};
}

Result<Found> Tree::child(const ShapeToken& shape, Node& dir, std::string_view name) {
  LAYERFS_TRY_ASSIGN(Made made, hold_child(shape, dir, name));
  if (made.attr) return Found{made.node, *made.attr};
  auto st = attr(shape, *made.node);
  if (!st) {
    forget(shape, *made.node, 1);
    return fail(st.error());
  }
  return Found{made.node, *st};
}

Result<Tree::Made> Tree::make_node(const ShapeToken& shape, Node& dir, Entry& entry) {
  return entry.top == Entry::kInUpper ? make_from_upper(shape, dir, entry)
                                      : make_from_lower(dir, entry);
}

Result<Tree::Made> Tree::make_from_upper(const ShapeToken& shape, Node& dir, Entry& entry) {
  LAYERFS_TRY_ASSIGN(const FdRef dirfd, upper_dir(shape, dir));
  LAYERFS_TRY_ASSIGN(const struct stat st,
                     Place(dirfd, {}, entry.name).recorded_in(upper()->records).stat());
  const InodeId inode = InodeId::of(st);
  const bool linked = !S_ISDIR(st.st_mode) && st.st_nlink > 1;
  std::unique_lock<std::mutex> making;
  if (linked) making = hard_links_.lock_making(inode);
  // The last of several names may still be that of a node which the kernel knows by another.
  if (!S_ISDIR(st.st_mode) && !hard_links_.empty()) {
    if (Node* known = hard_links_.find_and_count(inode)) {
      note_name(*known, dir, entry, st);
      return Made{known, std::nullopt};
    }
  }
  LAYERFS_TRY_ASSIGN(UpperNode upper, make_upper_node(dir, entry, dirfd->get(), st));
  keep_id(*upper.node, dir, entry, linked);
  Node& made = adopt(std::move(upper.node), dir, entry);
  if (linked) hard_links_.insert(made, inode);
  if (upper.indexed_for) hard_links_.insert(made, *upper.indexed_for);
  if (made.has(Node::kIndexed)) return Made{&made, std::nullopt};
  LAYERFS_TRY_ASSIGN(const struct stat shown, present(made, st));
  return Made{&made, shown};
}

Result<Tree::Made> Tree::make_from_lower(Node& dir, Entry& entry) {
  const LowerDirPtr& from = dir.dir->lowers[entry.top];
  LAYERFS_TRY_ASSIGN(const struct stat st, lower_stat(from, entry.name));
  const InodeId inode = InodeId::of(st);
  const bool linked = !S_ISDIR(st.st_mode) && st.st_nlink > 1 &&
                      stack_->keeps_links(st.st_dev, st.st_mode & S_IFMT);
  std::unique_lock<std::mutex> making;
  if (linked) {
    making = hard_links_.lock_making(inode);
    LAYERFS_TRY_ASSIGN(Node * known, find_linked_lower(dir, entry, {from, entry.name}, st));
    if (known != nullptr) return Made{known, std::nullopt};
  }
  LAYERFS_TRY_ASSIGN(std::unique_ptr<Node> node, make_lower_node(dir, entry, st));
  keep_id(*node, dir, entry, linked);
  Node& made = adopt(std::move(node), dir, entry);
  if (linked) hard_links_.insert(made, inode);
  LAYERFS_TRY_ASSIGN(const struct stat shown, present(made, st));
  return Made{&made, shown};
}

Result<Tree::UpperNode> Tree::make_upper_node(Node& dir, const Entry& entry, int dirfd,
                                              const struct stat& st) {
  LAYERFS_TRY_ASSIGN(layer::Marks marks, layer::read_marks(sys::At(dirfd, entry.name.c_str()),
                                                           stack_->names(), upper()->reporter));
  UpperNode made{std::make_unique<Node>(table_.new_id(), 0, st.st_mode), std::nullopt};
  Node* const node = made.node.get();
  node->set(Node::kUpper);
  if (node->is_dir()) {
    node->dir->impure = marks.impure;
  } else if (!marks.nlink.empty()) {
    LAYERFS_TRY_ASSIGN(made.indexed_for, find_index_origin(marks.origin, st));
    if (made.indexed_for) node->set(Node::kIndexed);
  }
  if (marks.metacopy && S_ISREG(st.st_mode)) node->set(Node::kMetacopy);
  const bool refused = node->has(Node::kMetacopy)
                           ? !stack_->options().metacopy
                           : node->is_dir() && !marks.opaque && !may_follow(marks);
  if (refused) return not_followed(upper()->reporter, sys::At(dirfd, entry.name.c_str()));
  note_protection(*node, layer::parse_protattr(marks.protattr));
  if (auto found = find_lowers(*node, dir, entry, marks); !found) {
    if (!node->has(Node::kMetacopy)) return fail(found.error());
    return data_lost(upper()->reporter, sys::At(dirfd, entry.name.c_str()), found.error());
  }
  LAYERFS_TRY_ASSIGN(node->ino, upper_number(*node, dir, entry, st, marks));
  return made;
}

Result<void> Tree::find_lowers(Node& node, Node& dir, const Entry& entry,
                               const layer::Marks& marks) {
  if (node.has(Node::kMetacopy)) {
    const std::string_view target = marks.redirect.empty() ? entry.name.view() : marks.redirect;
    LAYERFS_TRY_ASSIGN(node.lower, follow_file(dir.dir->lowers, 0, target));
    return {};
  }
  if (!node.is_dir() || marks.opaque) return {};
  if (marks.redirect.empty()) {
    LAYERFS_TRY_ASSIGN(node.dir->lowers, merge(candidates(*dir.dir, entry), dir.dir->lowers));
  } else {
    LAYERFS_TRY_ASSIGN(node.dir->lowers, follow_dir(dir.dir->lowers, 0, marks.redirect));
  }
  return {};
}

Result<std::unique_ptr<Node>> Tree::make_lower_node(Node& dir, const Entry& entry,
                                                    const struct stat& st) {
  const LowerDirPtr& from = dir.dir->lowers[entry.top];
  auto node = std::make_unique<Node>(table_.new_id(), lower_number(st), st.st_mode);
  if (!node->is_dir()) {
    node->lower = LowerFile{from, entry.name};
    return node;
  }
  LAYERFS_TRY_ASSIGN(node->dir->lowers, merge(candidates(*dir.dir, entry), dir.dir->lowers));
  return node;
}

void Tree::keep_id(Node& node, Node& dir, const Entry& entry, bool any_place) {
  if (forgotten_.size() == 0) return;
  const ForgottenNode place{0, node.ino, dir.id, dir.dir->key_of(entry)};
  if (const auto id = forgotten_.take(place, any_place)) node.id = *id;
}

Result<Node*> Tree::recall_child(const ShapeToken& shape, Node& dir, const ForgottenNode& known) {
  if (!dir.is_dir()) return fail(ESTALE);
  LAYERFS_TRY(ensure_loaded(shape, dir));
  Node* node = nullptr;
  {
    std::unique_lock lock(dir.dir->mutex);
    auto at = dir.dir->entries.find(known.key);
    if (at == dir.dir->entries.end() || at->second.whiteout) return fail(ESTALE);
    node = at->second.node();
    if (node != nullptr) {
      node->lookups.fetch_add(1);
    } else {
      LAYERFS_TRY_ASSIGN(Made made, make_node(shape, dir, at->second));
      node = made.node;
    }
  }
  // The name may be that of another object now.
  if (node->id == known.id) return node;
  forget(shape, *node, 1);
  return fail(ESTALE);
}

Result<Node*> Tree::recall_unnamed(const ForgottenNode& known) {
  const auto handle = forgotten_.handle(known.id);
  if (!handle) return fail(ESTALE);
  LAYERFS_TRY_ASSIGN(const FdRef fd, unplaced_.open(*handle));
  LAYERFS_TRY_ASSIGN(const struct stat st, sys::stat_fd(fd->get()));
  if (st.st_nlink == 0) return fail(ESTALE);
  LAYERFS_TRY_ASSIGN(const layer::Marks marks,
                     layer::read_marks(sys::At(fd->get()), stack_->names(), upper()->reporter));
  if (!forgotten_.take(known, true)) return fail(ESTALE);  // somebody else was faster
  auto node = std::make_unique<Node>(known.id, known.ino, st.st_mode);
  node->lookups = 1;
  unplaced_.keep(*node, *handle);
  node->flags = Node::kUpper | Node::kDetached;
  note_protection(*node, layer::parse_protattr(marks.protattr));
  Node& made = table_.insert(std::move(node));
  hard_links_.insert(made, InodeId::of(st));
  return &made;
}

Result<Node*> Tree::recall_node(const ShapeToken& shape, NodeId id) {
  std::vector<ForgottenNode> way;
  Node* at = table_.hold(id);
  for (NodeId next = id; at == nullptr; at = table_.hold(next)) {
    const auto known = forgotten_.find(next);
    if (!known || way.size() > forgotten_.size()) return fail(ESTALE);
    if (known->parent == 0) return way.empty() ? recall_unnamed(*known) : fail(ESTALE);
    way.push_back(*known);
    next = known->parent;
  }
  for (auto step = way.rbegin(); step != way.rend(); ++step) {
    auto below = recall_child(shape, *at, *step);
    forget(shape, *at, 1);
    if (!below) return below;
    at = *below;
  }
  return at;
}

Result<Found> Tree::recall(const ShapeToken& shape, NodeId id) {
  LAYERFS_TRY_ASSIGN(Node * node, recall_node(shape, id));
  auto st = attr(shape, *node);
  if (st) return Found{node, *st};
  forget(shape, *node, 1);
  return fail(st.error());
}

Node& Tree::adopt(std::unique_ptr<Node> node, Node& dir, Entry& entry) {
  node->name = entry.name;
  node->parent = &dir;
  node->lookups = 1;
  pin(dir);
  entry.set_node(*node);
  return table_.insert(std::move(node));
}

}  // namespace layerfs::tree
