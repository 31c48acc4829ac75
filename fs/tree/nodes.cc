#include <fcntl.h>
#include <malloc.h>

#include "fs/layer/marks.h"
#include "fs/sys/file.h"
#include "fs/tree/tree.h"

namespace layerfs::tree {

Outcome<std::unique_ptr<Tree>> Tree::open(const StackOptions& options) {
  LAYERFS_TRY_ASSIGN(std::unique_ptr<Stack> stack, Stack::open(options));
  std::unique_ptr<Tree> tree(new Tree(std::move(stack)));
  if (tree->upper() != nullptr) {
    auto root = sys::open_beneath(tree->upper()->root.get(), "", O_RDONLY | O_DIRECTORY);
    if (!root) return refuse("the upperdir cannot be opened", root.error());
    tree->unplaced_.set_root(std::move(*root));
  }
  LAYERFS_TRY(tree->make_root());
  LAYERFS_TRY(tree->recover_index());
  return tree;
}

Tree::~Tree() = default;

Outcome<void> Tree::make_root() {
  auto lowers = merge(stack_->roots(), {});
  if (!lowers) return refuse("the roots of the layers cannot be read", lowers.error());
  const bool has_upper = upper() != nullptr;
  const int fd = has_upper ? upper()->root.get() : shown_root(*lowers)->layer->root();
  auto st = sys::stat_fd(fd);
  if (!st) return refuse("the root of the topmost layer cannot be read", st.error());
  layer::Protattr protection;
  bool has_origin = false;
  if (has_upper) {
    auto marks = layer::read_marks(sys::At(fd), stack_->names(), upper()->reporter);
    if (!marks) return refuse("the marks of the upperdir cannot be read", marks.error());
    if (marks->opaque) lowers->clear();
    protection = layer::parse_protattr(marks->protattr);
    has_origin = marks->has_origin;
  }
  auto root =
      std::make_unique<Node>(table_.new_id(), stack_->numbers().shown(InodeId::of(*st)), S_IFDIR);
  root->dir->lowers = std::move(*lowers);
  if (has_origin) {
    auto origin = number_of_lower_dir(*root);
    if (!origin) return refuse("the root of the topmost layer cannot be read", origin.error());
    root->ino = origin->value_or(root->ino);
  }
  if (has_upper) root->set(Node::kUpper);
  note_protection(*root, protection);
  root->lookups = 1;
  root_ = &table_.insert(std::move(root));
  return {};
}

Node* Tree::node(NodeId id) const {
  Node* node = table_.find(id);
  return node == nullptr ? nullptr : &successor_of(*node);
}

Node& Tree::successor_of(Node& node) const {
  Node* last = &node;
  while (last->has(Node::kSuperseded)) last = &successors_.of(*last);
  return *last;
}

void Tree::forget(const ShapeToken& shape, Node& node, std::uint64_t lookups) noexcept {
  const NodeId id = node.id;
  if (node.lookups.fetch_sub(lookups) == lookups) drop_if_idle(shape, id);
}

void Tree::unpin(const ShapeToken& shape, Node& node) noexcept {
  const NodeId id = node.id;
  if (node.pins.fetch_sub(1) == 1) drop_if_idle(shape, id);
}

bool Tree::take_node(Node& node, const Node* parent, std::unique_ptr<Node>& taken,
                     std::vector<HardLinks::Alias>& aliases) {
  auto take = [&] {
    // Whoever gives it a place has a lookup of it: if it is idle, that is done or has not begun.
    taken = node.lookups.load() == 0 && node.parent.load() == parent ? table_.take_if_idle(node)
                                                                     : nullptr;
    return taken != nullptr;
  };
  if (node.has(Node::kHardLink)) {
    aliases = hard_links_.erase_if(node, take);
    return taken != nullptr;
  }
  return take();
}

void Tree::take_placed_node(Node& node, Node& parent, std::unique_ptr<Node>& taken,
                            std::vector<HardLinks::Alias>& aliases) {
  Entry* entry = parent.dir->find(node.name.view());
  if (entry == nullptr || entry->node() != &node) {
    take_node(node, &parent, taken, aliases);
    return;
  }
  const ino_t ino = node.ino;
  // Before it goes, so that it is found at any time.
  forgotten_.remember({node.id, ino, parent.id, parent.dir->key_of(*entry)});
  if (take_node(node, &parent, taken, aliases))
    entry->set_ino(ino);
  else
    forgotten_.erase(ino);
}

bool Tree::remember_unnamed(const Node& node) noexcept {
  constexpr unsigned kWanted = Node::kUpper | Node::kDetached | Node::kHardLink;
  constexpr unsigned kOthers = Node::kSuperseded | Node::kIndexed | Node::kMetacopy;
  const unsigned flags = node.flags.load(std::memory_order_acquire);
  if ((flags & (kWanted | kOthers)) != kWanted) return false;
  const auto handle = unplaced_.handle(node);
  if (!handle) return false;
  forgotten_.remember(node.id, node.ino, *handle);
  return true;
}

void Tree::drop_if_idle(const ShapeToken& shape, NodeId id) noexcept {
  // Dropping a node unpins its parent, which may be the last that held the parent.
  while (id != kRootNode) {
    Node* node = table_.pin_if_unused(id);
    if (node == nullptr) return;
    std::unique_ptr<Node> taken;
    std::vector<HardLinks::Alias> aliases;
    Node* parent = node->parent.load();
    if (parent == nullptr) {
      const ino_t ino = node->ino;
      const bool remembered = remember_unnamed(*node);
      if (!take_node(*node, nullptr, taken, aliases) && remembered) forgotten_.erase(ino);
    } else {
      std::unique_lock lock(parent->dir->mutex);
      take_placed_node(*node, *parent, taken, aliases);
    }
    if (taken == nullptr) {
      // Used again meanwhile. Whoever stops using it while our pin is there leaves it to us.
      if (node->pins.fetch_sub(1) != 1) return;
      continue;
    }
    if (dropped_.fetch_add(1, std::memory_order_relaxed) % kDropsPerTrim == kDropsPerTrim - 1)
      ::malloc_trim(0);
    if (taken->is_dir()) {
      dir_fds_.erase(id);
      // Nobody asks again by the key of a lower directory that only this one showed.
      for (const LowerDirPtr& lower : taken->dir->lowers)
        if (lower.is_only_owner()) dir_fds_.erase(lower->key);
    }
    if (taken->has(Node::kDetached)) unplaced_.erase(*taken);
    if (taken->has(Node::kHardLink)) other_names_.erase(id);
    if (taken->has(Node::kSuperseded)) unpin(shape, successors_.take(*taken));
    for (const HardLinks::Alias& alias : aliases) unpin(shape, *alias.dir);
    taken.reset();
    if (parent == nullptr) return;
    id = parent->id;
    if (parent->pins.fetch_sub(1) != 1) return;
  }
}

Node& Tree::supersede(Node& node) {
  if (node.is_unplaced()) return supersede_unplaced(node);
  auto shape = enter();
  Node* parent = node.parent.load();
  if (parent == nullptr) return node;  // just now: whoever asks asks again
  std::unique_lock lock(parent->dir->mutex);
  if (node.has(Node::kSuperseded) || node.has(Node::kDetached)) return node;
  auto fresh = make_successor(node);
  fresh->name = node.name;
  fresh->parent = parent;
  pin(*parent);
  Node& successor = table_.insert(std::move(fresh));
  if (node.has(Node::kHardLink)) hard_links_.move(node, successor);
  if (Entry* entry = parent->dir->find(node.name.view());
      entry != nullptr && entry->node() == &node)
    entry->set_node(successor);
  successors_.insert(node, successor);
  node.set(Node::kSuperseded | Node::kDetached);
  return successor;
}

Node& Tree::supersede_unplaced(Node& node) {
  const ShapeLock::Exclusive shape(shape_);
  if (!node.is_unplaced() || !node.has(Node::kHardLink) || node.has(Node::kSuperseded)) return node;
  auto fresh = make_successor(node);
  fresh->set(Node::kDetached);
  unplaced_.copy(node, *fresh);
  Node& successor = table_.insert(std::move(fresh));
  hard_links_.move(node, successor);
  successors_.insert(node, successor);
  node.set(Node::kSuperseded);
  return successor;
}

std::unique_ptr<Node> Tree::make_successor(const Node& node) {
  auto fresh = std::make_unique<Node>(table_.new_id(), node.ino, node.type);
  fresh->flags = static_cast<std::uint16_t>(
      node.flags.load() & (Node::kUpper | Node::kMetacopy | Node::kIndexed | Node::kLowerNames |
                           Node::kImmutable | Node::kAppendOnly | Node::kProtectionKnown));
  fresh->lower = node.lower;
  fresh->pins = 1;  // of its predecessor
  for (const KnownName& name : other_names_.of(node.id)) other_names_.add(fresh->id, name);
  return fresh;
}

}  // namespace layerfs::tree
