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
  const bool in_upper = entry.top == Entry::kInUpper;
  FdRef dirfd;
  if (in_upper) {
    LAYERFS_TRY_ASSIGN(dirfd, upper_dir(shape, dir));
  }
  LAYERFS_TRY_ASSIGN(struct stat st,
                     in_upper ? Place(dirfd, {}, entry.name).recorded_in(upper()->records).stat()
                              : lower_stat(dir.dir->lowers[entry.top], entry.name));
  LAYERFS_TRY_ASSIGN(std::unique_ptr<Node> node, in_upper
                                                     ? make_upper_node(dir, entry, dirfd->get(), st)
                                                     : make_lower_node(dir, entry, st));
  const bool linked =
      !S_ISDIR(st.st_mode) && st.st_nlink > 1 && (in_upper || stack_->options().index);
  // The last of several names may still be that of a node which the kernel knows by another.
  const bool was_linked = !S_ISDIR(st.st_mode) && in_upper && !hard_links_.empty();
  if (linked || was_linked) {
    if (Node* known = hard_links_.find_and_count(node->ino)) {
      if (in_upper)
        note_name(*known, dir, entry, st);
      else
        remember_lower_name(*known, dir, entry);
      return Made{known, std::nullopt};
    }
    if (!in_upper) {
      LAYERFS_TRY_ASSIGN(Indexed indexed, make_indexed_node(node->lower, node->ino));
      if (indexed.node != nullptr) {
        keep_id(*indexed.node, dir, entry, true);
        if (!unplaced_.keep_by_handle(*indexed.node, indexed.fd.get(), ""))
          unplaced_.keep(*indexed.node, std::move(indexed.fd));
        Node& made = table_.insert(std::move(indexed.node));
        hard_links_.insert(made);
        remember_lower_name(made, dir, entry);
        return Made{&made, std::nullopt};
      }
    }
  }
  keep_id(*node, dir, entry, linked);
  const bool indexed = node->has(Node::kIndexed);
  Node& made = adopt(std::move(node), dir, entry);
  if (linked) hard_links_.insert(made);
  if (indexed) return Made{&made, std::nullopt};
  LAYERFS_TRY_ASSIGN(struct stat shown, present(made, st));
  return Made{&made, shown};
}

Result<Tree::Indexed> Tree::make_indexed_node(const LowerFile& lower, ino_t ino) {
  if (upper() == nullptr || !upper()->work->index_in_use()) return Indexed{};
  LAYERFS_TRY_ASSIGN(FdRef dirfd, lower_dir(lower.dir));
  const std::string origin =
      stack_->make_origin(lower.dir->layer->device(), dirfd->get(), lower.name.c_str());
  if (origin.empty()) return Indexed{};
  auto fd = sys::open_entry(upper()->work->index(), layer::index_name(origin).c_str());
  if (!fd && fd.error() == Errno(ENOENT)) return Indexed{};
  if (!fd) return fail(fd.error());
  LAYERFS_TRY_ASSIGN(struct stat st, sys::stat_fd(fd->get()));
  if (S_ISDIR(st.st_mode)) return fail(EIO);  // it cannot be a copy of a file
  LAYERFS_TRY_ASSIGN(layer::Marks marks, layer::read_marks(sys::At(fd->get()), stack_->names()));
  auto node = std::make_unique<Node>(table_.new_id(), ino, st.st_mode);
  node->lower = lower;
  node->lookups = 1;
  node->flags = Node::kUpper | Node::kIndexed | Node::kDetached;
  note_protection(*node, layer::parse_protattr(marks.protattr));
  if (marks.metacopy && S_ISREG(st.st_mode)) node->set(Node::kMetacopy);
  return Indexed{std::move(node), std::move(*fd)};
}

Result<std::unique_ptr<Node>> Tree::make_upper_node(Node& dir, const Entry& entry, int dirfd,
                                                    const struct stat& st) {
  LAYERFS_TRY_ASSIGN(layer::Marks marks,
                     layer::read_marks(sys::At(dirfd, entry.name.c_str()), stack_->names()));
  ino_t ino = stack_->map_ino(st.st_dev, st.st_ino);
  if (marks.has_origin) ino = stack_->origin_ino(marks.origin).value_or(ino);
  auto node = std::make_unique<Node>(table_.new_id(), ino, st.st_mode);
  node->set(Node::kUpper);
  if (node->is_dir()) {
    node->dir->impure = marks.impure;
  }
  if (marks.metacopy && S_ISREG(st.st_mode)) node->set(Node::kMetacopy);
  if (!marks.nlink.empty() && !node->is_dir()) node->set(Node::kIndexed);
  note_protection(*node, layer::parse_protattr(marks.protattr));
  LAYERFS_TRY(find_lowers(*node, dir, entry, marks));
  return node;
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
  auto node = std::make_unique<Node>(table_.new_id(),
                                     stack_->map_ino(from->layer->device(), st.st_ino), st.st_mode);
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
                     layer::read_marks(sys::At(fd->get()), stack_->names()));
  if (!forgotten_.take(known, true)) return fail(ESTALE);  // somebody else was faster
  auto node = std::make_unique<Node>(known.id, known.ino, st.st_mode);
  node->lookups = 1;
  unplaced_.keep(*node, *handle);
  node->flags = Node::kUpper | Node::kDetached;
  note_protection(*node, layer::parse_protattr(marks.protattr));
  Node& made = table_.insert(std::move(node));
  hard_links_.insert(made);
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
