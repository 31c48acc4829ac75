// Names move: all preparation is in the work directory and in marks that change nothing yet, then
// one renameat2 in the upper.
#include <dirent.h>
#include <fcntl.h>

#include <vector>

#include "fs/layer/marks.h"
#include "fs/sys/file.h"
#include "fs/sys/xattr.h"
#include "fs/tree/tree.h"

namespace layerfs::tree {
namespace {

// One of the two names of a rename.
struct End {
  Node* dir;
  Name name;
  Node* node = nullptr;  // what is there, its lookup counted; null: nothing
  FdRef dirfd;
  std::uint64_t key = 0;  // of the entry, if there is one
  sys::UniqueFd inode;    // of a node in the upper
  bool in_upper = false;  // the upper has the name
  bool needs_whiteout = false;

  Entry* entry() const { return dir->dir->find(name.view()); }
};

}  // namespace

class Rename {
 public:
  Rename(Tree& tree, Node& from_dir, std::string_view from, Node& to_dir, std::string_view to,
         unsigned flags)
      : tree_(tree),
        from_{&from_dir, Name(from), {}, {}, {}, {}},
        to_{&to_dir, Name(to), {}, {}, {}, {}},
        exchange_((flags & RENAME_EXCHANGE) != 0),
        no_replace_((flags & RENAME_NOREPLACE) != 0) {}

  // EAGAIN: somebody changed one of the names meanwhile.
  Result<void> run() {
    auto status = hold();
    const bool same = status && from_.node == to_.node;
    if (status && !same) status = copy_up();
    // Two names of one file, or one name twice: rename(2) then does nothing.
    if (status && !same) {
      ShapeLock::Exclusive shape(tree_.shape_);
      left_.reserve(kMostLeft);
      status = move(shape);
    }
    auto shape = tree_.enter();
    for (Node* left : left_) tree_.unpin(shape, *left);
    for (End* end : {&from_, &to_})
      if (end->node != nullptr) tree_.forget(shape, *end->node, 1);
    return status;
  }

 private:
  Result<void> hold() {
    auto shape = tree_.enter();
    LAYERFS_TRY_ASSIGN(Tree::Made source, tree_.hold_child(shape, *from_.dir, from_.name.view()));
    from_.node = source.node;
    auto target = tree_.hold_child(shape, *to_.dir, to_.name.view());
    if (target) to_.node = target->node;
    if (!target && (target.error() != Errno(ENOENT) || exchange_)) return fail(target.error());
    if (to_.node != nullptr && no_replace_) return fail(EEXIST);
    LAYERFS_TRY(allow(shape));
    return check_types();
  }

  Result<void> allow(const ShapeToken& shape) {
    if (from_.node == to_.node) return {};
    LAYERFS_TRY(tree_.allow_removal(shape, *from_.dir, *from_.node));
    if (to_.node == nullptr) return tree_.allow_new_name(shape, *to_.dir);
    return tree_.allow_removal(shape, *to_.dir, *to_.node);
  }

  Result<void> check_types() {
    for (const Node* node : {from_.node, exchange_ ? to_.node : nullptr})
      if (node != nullptr && node->is_dir() && !node->dir->lowers.empty() &&
          !tree_.stack().options().redirect_dir)
        return fail(EXDEV);
    if (to_.node == nullptr || exchange_) return {};
    if (from_.node->is_dir() && !to_.node->is_dir()) return fail(ENOTDIR);
    if (!from_.node->is_dir() && to_.node->is_dir()) return fail(EISDIR);
    return {};
  }

  Result<void> copy_up() {
    LAYERFS_TRY(tree_.copy_up(*from_.dir, CopyUpDepth::metadata()));
    LAYERFS_TRY(tree_.copy_up(*to_.dir, CopyUpDepth::metadata()));
    LAYERFS_TRY(tree_.copy_up(*from_.node, CopyUpDepth::metadata()));
    // A lower inode with several names that loses this one: only the index remembers how many left.
    if (to_.node != nullptr && (exchange_ || to_.node->has(Node::kHardLink)))
      LAYERFS_TRY(tree_.copy_up(*to_.node, CopyUpDepth::metadata()));
    return {};
  }

  Result<void> move(const ShapeLock::Exclusive& lock) {
    const ShapeToken shape(lock);
    LAYERFS_TRY(reach(shape, from_));
    LAYERFS_TRY(reach(shape, to_));
    LAYERFS_TRY(look(shape, from_));
    LAYERFS_TRY(look(shape, to_));
    LAYERFS_TRY(name_in_upper(from_));
    if (exchange_) return exchange();
    return replace(lock);
  }

  Result<void> reach(const ShapeToken& shape, End& end) {
    LAYERFS_TRY_ASSIGN(end.dirfd, tree_.upper_dir(shape, *end.dir));
    if (end.node == nullptr || !end.node->has(Node::kUpper)) return {};
    LAYERFS_TRY_ASSIGN(Place at, tree_.place(shape, *end.node));
    LAYERFS_TRY_ASSIGN(end.inode, at.open_path());
    return {};
  }

  // Checks that the name still is what it was before the locks were taken.
  Result<void> look(const ShapeToken& shape, End& end) {
    if (end.dir->has(Node::kDetached)) return fail(ENOENT);
    LAYERFS_TRY(tree_.load(shape, *end.dir));
    const Entry* entry = end.entry();
    const bool there = entry != nullptr && !entry->whiteout;
    if (there != (end.node != nullptr)) return fail(EAGAIN);
    if (there && entry->node() != nullptr && entry->node() != end.node) return fail(EAGAIN);
    if (entry == nullptr) return {};
    end.key = end.dir->dir->key_of(*entry);
    end.in_upper = entry->top == Entry::kInUpper;
    end.needs_whiteout = !end.in_upper || entry->lower_below;
    return {};
  }

  // Another lower name of an inode that is in the upper already: the name itself has to come too.
  Result<void> name_in_upper(End& end) {
    if (end.in_upper) return {};
    if (!end.inode) return fail(EAGAIN);
    Entry* entry = end.entry();
    if (end.node->has(Node::kIndexed)) {
      const LowerFile lower{end.dir->dir->lowers[entry->top], entry->name};
      LAYERFS_TRY(tree_.link_indexed(end.inode.get(), lower, end.dirfd->get(), end.name));
    } else {
      LAYERFS_TRY(sys::link_fd(end.inode.get(), end.dirfd->get(), end.name.c_str()));
    }
    entry->top = Entry::kInUpper;
    entry->lower_below = true;
    end.in_upper = true;
    return {};
  }

  // What keeps an object itself in a new place: a directory from merging with what it finds there
  // and from losing what it came with, a metacopy from losing its data.
  Result<void> set_marks(const End& moving, const End& place) {
    const sys::At at(moving.inode.get());
    const layer::XattrNames& names = tree_.stack().names();
    if (moving.node->is_dir()) {
      const auto& lowers = moving.node->dir->lowers;
      if (!lowers.empty())
        LAYERFS_TRY(sys::set_xattr(at, names.mark(layer::mark::kRedirect),
                                   "/" + lowers.front()->union_path()));
      else if (place.needs_whiteout)
        LAYERFS_TRY(sys::set_xattr(at, names.mark(layer::mark::kOpaque), layer::kOpaqueValue));
    } else {
      LAYERFS_TRY(tree_.name_lower_data(at, *moving.node));
      LAYERFS_TRY(tree_.keep_number(*moving.node, moving.inode.get()));
    }
    if (moving.dir == place.dir) return {};
    return tree_.keep_origin_visible(*moving.node, moving.inode.get(), *place.dir,
                                     place.dirfd->get());
  }

  Result<void> exchange() {
    LAYERFS_TRY(name_in_upper(to_));
    LAYERFS_TRY(set_marks(from_, to_));
    LAYERFS_TRY(set_marks(to_, from_));
    LAYERFS_TRY(sys::rename_at(from_.dirfd->get(), from_.name.c_str(), to_.dirfd->get(),
                               to_.name.c_str(), RENAME_EXCHANGE));
    const bool from_placed = from_.entry()->node() != nullptr;
    const bool to_placed = to_.entry()->node() != nullptr;
    settle(to_, from_, from_placed);
    settle(from_, to_, to_placed);
    return {};
  }

  Result<void> replace(const ShapeLock::Exclusive& lock) {
    const ShapeToken shape(lock);
    if (to_.node != nullptr && to_.node->is_dir()) {
      LAYERFS_TRY(tree_.load(shape, *to_.node));
      if (!Tree::shows_nothing(*to_.node->dir)) return fail(ENOTEMPTY);
      if (to_.in_upper && !to_.node->dir->entries.empty()) LAYERFS_TRY(clear_target());
    }
    LAYERFS_TRY(set_marks(from_, to_));
    Entry* target = to_.entry();
    if (to_.node != nullptr && !to_.in_upper)
      LAYERFS_TRY(tree_.bring_indexed_name(*to_.dir, *target, to_.dirfd->get()));
    if (to_.inode && to_.node->has(Node::kIndexed))
      LAYERFS_TRY(tree_.settle_before_change(to_.inode.get(), to_.node->lower));
    if (to_.node != nullptr) LAYERFS_TRY(keep_target(lock, *target));
    if (auto renamed = rename_in_upper(target != nullptr && target->whiteout); !renamed) {
      if (to_.node != nullptr) tree_.stay_reachable(*to_.node);
      return renamed;
    }
    if (to_.node != nullptr) {
      tree_.drop_name(*to_.node, *to_.dir, *target);
      if (target->node() == to_.node) {
        to_.node->set(Node::kDetached);
        tree_.stack().numbers().release(to_.node->ino);
      }
    }
    if (to_.inode && !to_.node->is_dir()) tree_.drop_from_index(to_.inode.get());
    finish_replace();
    return {};
  }

  // What loses its name: its node lives by another, or by a descriptor.
  Result<void> keep_target(const ShapeLock::Exclusive& lock, Entry& target) {
    Node& node = *to_.node;
    if (node.has(Node::kHardLink) && node.has(Node::kUpper) && target.node() == &node) {
      LAYERFS_TRY_ASSIGN(Node * left, tree_.move_place(lock, *to_.dir, target, node));
      if (left != nullptr) left_.push_back(left);
    }
    return tree_.keep_reachable(node, target, to_.dirfd->get());
  }

  Result<void> rename_in_upper(bool onto_whiteout) {
    const int from = from_.dirfd->get(), to = to_.dirfd->get();
    // A directory cannot replace a whiteout; they change places, which leaves one behind.
    if (from_.node->is_dir() && onto_whiteout) {
      LAYERFS_TRY(sys::rename_at(from, from_.name.c_str(), to, to_.name.c_str(), RENAME_EXCHANGE));
      // If it cannot be removed it stays, and is known.
      if (!from_.needs_whiteout && !sys::unlink_at(from, from_.name.c_str()))
        from_.needs_whiteout = true;
      return {};
    }
    return sys::rename_at(from, from_.name.c_str(), to, to_.name.c_str(),
                          from_.needs_whiteout ? RENAME_WHITEOUT : 0);
  }

  // Puts an empty opaque directory in the place of one that holds whiteouts, so that rename(2) can
  // replace it. Its parent is what it was: nothing has changed yet.
  Result<void> clear_target() {
    WorkName aside(*tree_.upper()->work);
    aside.holds_much();
    LAYERFS_TRY_ASSIGN(struct stat st, sys::stat_fd(to_.inode.get()));
    LAYERFS_TRY(sys::make_dir(aside.dirfd(), aside.c_str(), 0700));
    aside.made();
    LAYERFS_TRY_ASSIGN(sys::UniqueFd fd, sys::open_entry(aside.dirfd(), aside.c_str()));
    LAYERFS_TRY(sys::chown_fd(fd.get(), st.st_uid, st.st_gid));
    LAYERFS_TRY(copy_marks_and_xattrs(to_.inode.get(), fd.get()));
    LAYERFS_TRY(sys::chmod_fd(fd.get(), st.st_mode & 07777));
    LAYERFS_TRY(sys::set_times(fd.get(), st.st_atim, st.st_mtim));
    LAYERFS_TRY_ASSIGN(struct stat parent, sys::stat_fd(to_.dirfd->get()));
    LAYERFS_TRY(sys::rename_at(aside.dirfd(), aside.c_str(), to_.dirfd->get(), to_.name.c_str(),
                               RENAME_EXCHANGE));
    (void)sys::set_times(to_.dirfd->get(), parent.st_atim, parent.st_mtim);
    to_.node->dir->entries.clear();
    to_.inode = std::move(fd);
    tree_.dir_fds_.erase(to_.node->id);
    return {};
  }

  // All but what would lead to the lower directories, which the opaque one hides. If the rename
  // does not come about it is the same directory to whoever looks.
  Result<void> copy_marks_and_xattrs(int from, int to) {
    const layer::XattrNames& names = tree_.stack().names();
    const sys::At target(to);
    LAYERFS_TRY_ASSIGN(const std::string list, sys::list_xattr(sys::At(from)));
    for (const std::string& name : sys::split_xattrs(list)) {
      if (name == names.mark(layer::mark::kRedirect)) continue;
      LAYERFS_TRY_ASSIGN(const std::string value, sys::get_xattr(sys::At(from), name));
      LAYERFS_TRY(sys::set_xattr(target, name, value));
    }
    return sys::set_xattr(target, names.mark(layer::mark::kOpaque), layer::kOpaqueValue);
  }

  void finish_replace() {
    const bool placed = from_.entry()->node() != nullptr;
    if (from_.needs_whiteout)
      Tree::turn_into_whiteout(*from_.dir->dir, *from_.entry());
    else
      from_.dir->dir->erase(*from_.entry());
    Entry& target = to_.dir->dir->insert(to_.name.view());
    target.top = Entry::kInUpper;
    target.whiteout = false;
    target.lower_below = to_.needs_whiteout;
    target.set_ino(0);
    settle(to_, from_, placed);
  }

  // Makes the entry at `end` the name of what was at `from`, and its place if that name was it.
  void settle(End& end, const End& from, bool placed) {
    Node& node = *from.node;
    Directory& dir = *end.dir->dir;
    Entry* entry = end.entry();
    dir.merge_nothing_below(*entry);
    entry->type = static_cast<unsigned char>(IFTODT(node.type));
    entry->set_ino(node.ino);
    if (!placed) {
      tree_.other_names_.remove(node.id, {from.dir->id, from.key});
      if (const auto st = sys::stat_at(end.dirfd->get(), end.name.c_str()))
        tree_.note_name(node, *end.dir, *entry, *st);
      return;
    }
    entry->set_node(node);
    Node* old = node.parent.load();
    node.name = entry->name;
    if (old == end.dir) return;
    tree_.pin(*end.dir);
    node.parent = end.dir;
    left_.push_back(old);
  }

  Tree& tree_;
  End from_;
  End to_;
  const bool exchange_;
  const bool no_replace_;
  // Parents that nodes moved away from, still pinned: unpinned after the locks are given back, for
  // they may be dropped then.
  std::vector<Node*> left_;
  static constexpr std::size_t kMostLeft = 2;
};

Result<void> Tree::rename(Node& from_dir, std::string_view from, Node& to_dir, std::string_view to,
                          unsigned flags) {
  if ((flags & ~unsigned{RENAME_NOREPLACE | RENAME_EXCHANGE}) != 0 ||
      flags == (RENAME_NOREPLACE | RENAME_EXCHANGE))
    return fail(EINVAL);
  for (int tries = 0; tries < 8; ++tries) {
    auto status = Rename(*this, from_dir, from, to_dir, to, flags).run();
    if (status || status.error() != Errno(EAGAIN)) return status;
  }
  return fail(EBUSY);
}

}  // namespace layerfs::tree
