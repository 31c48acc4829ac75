// From a lower layer to the upper: data, then owner, xattrs, mode and times, then one system call
// that puts it in place. Each step's place in the order has its reason where it stands.
#include <fcntl.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>

#include "fs/layer/marks.h"
#include "fs/sys/copy.h"
#include "fs/sys/credentials.h"
#include "fs/sys/file.h"
#include "fs/sys/xattr.h"
#include "fs/tree/tree.h"

namespace layerfs::tree {
namespace {

bool satisfies(const Node& node, CopyUpDepth depth) {
  if (!node.has(Node::kUpper)) return false;
  return !depth.data || !S_ISREG(node.type) || Tree::has_upper_data(node);
}

// Without these the copy would not be the same file (ovl_must_copy_xattr of the kernel).
bool must_copy(const std::string& name) {
  return name.starts_with("security.") || name.starts_with("system.posix_acl_");
}

// Says whether there were any.
Result<bool> copy_xattrs(const sys::At& from, const sys::At& to, const layer::XattrNames& names) {
  LAYERFS_TRY_ASSIGN(std::string list, sys::list_xattr(from));
  bool any = false;
  for (const std::string& name : sys::split_xattrs(list)) {
    if (names.is_private(name)) continue;
    any = true;
    LAYERFS_TRY_ASSIGN(const auto value, sys::find_xattr(from, name));
    if (!value) continue;  // removed since it was listed
    auto set = sys::set_xattr(to, name, *value);
    if (!set && (set.error() != Errno(EOPNOTSUPP) || must_copy(name))) return fail(set.error());
  }
  return any;
}

}  // namespace

// One node's way up. Runs under the node's copy-up lock.
class CopyUp {
 public:
  CopyUp(Tree& tree, Node& node, CopyUpDepth depth) : tree_(tree), node_(node), depth_(depth) {}

  Result<void> run() {
    if (satisfies(node_, depth_)) return {};
    if (node_.has(Node::kUpper)) return complete_data();
    LAYERFS_TRY(look_at_source());
    if (S_ISREG(node_.type)) return regular();
    // What the work directory holds by a name belongs to the daemon until it is given its owner.
    sys::create_as_daemon();
    return node_.is_dir() ? directory() : special();
  }

 private:
  Result<void> look_at_source() {
    auto shape = tree_.enter();
    const LowerDirPtr& from = node_.is_dir() ? node_.dir->lowers.front() : node_.lower.dir;
    LAYERFS_TRY_ASSIGN(source_dir_, tree_.lower_dir(from));
    LAYERFS_TRY(tree_.protection(shape, node_));
    if (!node_.is_dir()) source_name_ = node_.lower.name;
    source_records_ = &from->layer->records();
    LAYERFS_TRY_ASSIGN(const std::optional<struct stat> known, tree_.indexed_attr(node_));
    if (known) {
      st_ = *known;
    } else {
      LAYERFS_TRY_ASSIGN(st_, records().any() ? source().stored_stat() : source().stat());
    }
    // An inode with several names keeps its identity only if the index holds the others to it.
    const bool linked = !node_.is_dir() && st_.st_nlink > 1;
    indexed_ = linked && tree_.stack().keeps_links(st_.st_dev, node_.type);
    breaks_link_ = linked && !indexed_;
    if (breaks_link_) return {};
    LAYERFS_TRY_ASSIGN(origin_, tree_.stack().file_systems().origin_of(st_, source_dir_->get(),
                                                                       source_name_.c_str()));
    if (indexed_ && origin_.empty()) return fail(EIO);
    return {};
  }

  Place source() const {
    return Place(source_dir_, {}, source_name_).recorded_in(*source_records_);
  }
  const layer::OwnerRecords& records() const { return tree_.upper()->records; }

  Result<void> regular() {
    WorkName name(*tree_.upper()->work);
    LAYERFS_TRY_ASSIGN(sys::UniqueFd file, open_temporary(name));
    metacopy_ = !depth_.data && tree_.stack().options().metacopy && st_.st_size > 0;
    if (metacopy_) {
      LAYERFS_TRY(sys::truncate_fd(file.get(), st_.st_size));
    } else {
      LAYERFS_TRY(copy_data_to(file.get(), depth_.limit));
    }
    LAYERFS_TRY(give_metadata(file.get()));
    return publish(file, name, true);
  }

  // A file without a name leaves nothing behind when the daemon dies, and nobody else can open it:
  // so it may have its owner and mode from the beginning.
  Result<sys::UniqueFd> open_temporary(WorkName& name) {
    if (records().any()) {
      sys::create_as_daemon();
    } else {
      sys::create_as(st_.st_uid, st_.st_gid);
    }
    auto file = sys::open_tmpfile(name.dirfd(), records().any()
                                                    ? layer::OwnerRecords::mode_on_disk(st_.st_mode)
                                                    : st_.st_mode & 0777);
    if (file || file.error() != Errno(EOPNOTSUPP)) return file;
    sys::create_as_daemon();
    auto named = sys::open_beneath(name.dirfd(), name.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600);
    if (named) name.made();
    named_ = true;
    return named;
  }

  Result<void> copy_data_to(int to, off_t limit) {
    Result<sys::UniqueFd> from = fail(EIO);
    {
      auto shape = tree_.enter();
      from = tree_.open_lower_data(node_.lower, O_RDONLY);
    }
    if (!from) return fail(from.error());
    LAYERFS_TRY(sys::copy_data(from->get(), to, std::min(st_.st_size, limit)));
    // What is put in place next must not be there without its data after a loss of power.
    if (tree_.stack().options().volatile_upper) return {};
    return sys::flush_data(to, tree_.upper()->orders_metadata);
  }

  Result<void> special() {
    WorkName name(*tree_.upper()->work);
    if (S_ISLNK(node_.type)) {
      LAYERFS_TRY_ASSIGN(std::string target, source().readlink());
      LAYERFS_TRY(sys::make_symlink(target.c_str(), name.dirfd(), name.c_str()));
    } else {
      LAYERFS_TRY(sys::make_node(name.dirfd(), name.c_str(), st_.st_mode & S_IFMT, st_.st_rdev));
    }
    name.made();
    LAYERFS_TRY_ASSIGN(sys::UniqueFd fd, sys::open_entry(name.dirfd(), name.c_str()));
    LAYERFS_TRY(give_metadata(fd.get()));
    return publish(fd, name, false);
  }

  Result<void> directory() {
    WorkName name(*tree_.upper()->work);
    // Nobody else can enter the work directory. The owner's bits are needed to open it.
    const mode_t mode = records().any() ? 0700 : (st_.st_mode & 0777) | 0700;
    LAYERFS_TRY(sys::make_dir(name.dirfd(), name.c_str(), mode));
    name.made();
    // Open, and not as a path only: what follows then needs no way through /proc.
    LAYERFS_TRY_ASSIGN(sys::UniqueFd fd,
                       sys::open_beneath(name.dirfd(), name.c_str(), O_RDONLY | O_DIRECTORY));
    LAYERFS_TRY(give_metadata(fd.get()));
    return publish(fd, name, false);
  }

  // The owner first, since chown drops security.capability and setuid; xattrs next, since an ACL
  // changes the mode; times last, since all else changes them. What the inode was made with is not
  // set again; a directory's setgid or default ACL may have made it another.
  Result<void> give_metadata(int fd) {
    const sys::At at(fd);
    if (records().any()) return give_recorded_metadata(fd, at);
    LAYERFS_TRY_ASSIGN(const struct stat made, sys::stat_fd(fd));
    const bool owned = made.st_uid == st_.st_uid && made.st_gid == st_.st_gid;
    if (!owned) LAYERFS_TRY(sys::chown_fd(fd, st_.st_uid, st_.st_gid));
    bool any_xattr = false;
    if (!tree_.has_no_xattrs(node_)) {
      LAYERFS_TRY_ASSIGN(any_xattr, copy_xattrs(source().at(), at, tree_.stack().names()));
    }
    const bool has_mode = owned && !any_xattr && made.st_mode == st_.st_mode;
    if (!S_ISLNK(node_.type) && !has_mode) LAYERFS_TRY(sys::chmod_fd(fd, st_.st_mode & 07777));
    LAYERFS_TRY(set_marks(fd));
    return set_times(fd);
  }

  // The same where owner and mode are recorded. The file itself stays the daemon's.
  Result<void> give_recorded_metadata(int fd, const sys::At& at) {
    if (!tree_.has_no_xattrs(node_)) {
      LAYERFS_TRY(copy_xattrs(source().at(), at, tree_.stack().names()));
    }
    const bool recorded = records().can_hold(st_.st_mode);
    if (recorded) {
      LAYERFS_TRY(records().write(at, st_));
    } else {
      LAYERFS_TRY(Place(fd).recorded_in(records()).chown(st_.st_uid, st_.st_gid));
    }
    const mode_t own = recorded ? layer::OwnerRecords::mode_on_disk(st_.st_mode) : st_.st_mode;
    if (!S_ISLNK(st_.st_mode)) LAYERFS_TRY(sys::chmod_fd(fd, own & 07777));
    LAYERFS_TRY(set_marks(fd));
    return set_times(fd);
  }

  // Where the copy is cut, it is the changed file already.
  Result<void> set_times(int fd) const {
    const bool cut = S_ISREG(node_.type) && depth_.data && depth_.limit < st_.st_size;
    return sys::set_times(fd, st_.st_atim, cut ? timespec{0, UTIME_NOW} : st_.st_mtim);
  }

  Result<void> set_marks(int fd) {
    const sys::At at(fd);
    const layer::XattrNames& names = tree_.stack().names();
    if (metacopy_) LAYERFS_TRY(sys::set_xattr(at, names.mark(layer::mark::kMetacopy), ""));
    LAYERFS_TRY(tree_.copy_protection(node_, source(), fd));
    if (breaks_link_) return {};
    // An empty value says, as the kernel's overlayfs has it: copied up, by no handle to be found.
    auto set = sys::set_xattr(at, names.mark(layer::mark::kOrigin), origin_);
    // user.* attributes are for files and directories only: then st_ino changes over a remount.
    const bool unable = !set && set.error() == Errno(EPERM) && tree_.stack().options().user_xattr;
    return unable ? Result<void>() : set;
  }

  // Puts the prepared inode in place. `fd` is open on it.
  Result<void> publish(sys::UniqueFd& fd, WorkName& name, bool linkable) {
    auto shape = tree_.enter();
    Node& parent = *node_.parent.load();
    LAYERFS_TRY_ASSIGN(FdRef dir, tree_.upper_dir(shape, parent));
    std::unique_lock lock(parent.dir->mutex);
    if (node_.has(Node::kDetached)) {
      // Removed while it was copied: it lives on without a name.
      tree_.unplaced_.keep(node_, std::move(fd));
      mark_node();
      return {};
    }
    LAYERFS_TRY_ASSIGN(struct stat before, sys::stat_fd(dir->get()));
    LAYERFS_TRY(tree_.mark_impure(parent, dir->get()));
    LAYERFS_TRY_ASSIGN(const struct stat copy, sys::stat_fd(fd.get()));
    if (indexed_) LAYERFS_TRY(put_into_index(fd.get()));
    if (auto placed = put_in_place(fd.get(), name, linkable, dir->get()); !placed) {
      if (indexed_) take_out_of_index();
      return placed;
    }
    if (indexed_) tree_.settle_nlink(fd.get(), static_cast<int>(st_.st_nlink));
    // A copy-up is no change of the directory that anybody asked for. Best effort, as in the
    // kernel.
    (void)sys::set_times(dir->get(), before.st_atim, before.st_mtim);
    move_entry(parent);
    settle_identity(InodeId::of(copy));
    mark_node();
    return {};
  }

  // What is known by number of the upper inode, which is new, and of one that had the number
  // before.
  void settle_identity(const InodeId& copy) {
    InodeNumbers& numbers = tree_.stack().numbers();
    numbers.renew(copy.number);
    if (indexed_) tree_.hard_links_.insert(node_, copy);
    if (breaks_link_) node_.ino = numbers.shown(copy);
  }

  Result<void> put_in_place(int fd, WorkName& name, bool linkable, int dirfd) {
    if (linkable && !named_) return sys::link_fd(fd, dirfd, node_.name.c_str());
    LAYERFS_TRY(
        sys::rename_at(name.dirfd(), name.c_str(), dirfd, node_.name.c_str(), RENAME_NOREPLACE));
    name.published();
    return {};
  }

  void mark_node() {
    unsigned flags = Node::kUpper;
    if (metacopy_) flags |= Node::kMetacopy;
    if (indexed_) flags |= Node::kIndexed;
    node_.set(flags);
  }

  void move_entry(Node& parent) {
    Directory& dir = *parent.dir;
    Entry* entry = dir.find(node_.name.view());
    if (entry == nullptr || entry->top == Entry::kInUpper) return;
    // The lower directory that was on top merges below the upper one from now on.
    if (node_.is_dir()) {
      auto& positions = dir.merge_below(*entry);
      positions.insert(positions.begin(), entry->top);
    }
    entry->top = Entry::kInUpper;
    entry->lower_below = true;
  }

  // work/index/<handle>: by it the other lower names find the copy, now and after a remount. While
  // names are made the count is told by that of the lower inode, which never changes.
  Result<void> put_into_index(int fd) {
    const WorkDir& work = *tree_.upper()->work;
    LAYERFS_TRY(sys::set_xattr(sys::At(fd), tree_.stack().names().mark(layer::mark::kNlink),
                               layer::format_nlink({false, 0})));
    auto linked = sys::link_fd(fd, work.index(), layer::index_name(origin_).c_str());
    if (!linked) return linked;
    tree_.upper()->work->set_index_in_use();
    return {};
  }

  // Best effort: without a name beside it the next mount removes it, or uses it for what it is.
  void take_out_of_index() {
    (void)sys::unlink_at(tree_.upper()->work->index(), layer::index_name(origin_).c_str());
  }

  // The data of a file whose attributes are in the upper already.
  Result<void> complete_data() {
    sys::UniqueFd to;
    std::optional<std::string> capability;
    struct stat st;
    {
      auto shape = tree_.enter();
      LAYERFS_TRY_ASSIGN(Place place, tree_.place(shape, node_));
      LAYERFS_TRY_ASSIGN(st, place.stat());
      // Writing drops it, though nobody has written yet.
      LAYERFS_TRY_ASSIGN(capability, sys::find_xattr(place.at(), kCapability));
      LAYERFS_TRY_ASSIGN(to, place.open(O_WRONLY));
    }
    st_ = st;
    // All of it, also where the caller is about to truncate it: until then it is the old file.
    const auto copied = copy_data_to(to.get(), CopyUpDepth::kWhole);
    const sys::At at(to.get());
    if (capability) LAYERFS_TRY(sys::set_xattr(at, kCapability, *capability));
    LAYERFS_TRY(sys::set_times(to.get(), st.st_atim, st.st_mtim));
    if (!copied) return copied;
    // From here on, and not before, the upper's data counts.
    LAYERFS_TRY(sys::remove_xattr(at, tree_.stack().names().mark(layer::mark::kMetacopy)));
    node_.clear(Node::kMetacopy);
    return {};
  }

  static constexpr const char* kCapability = "security.capability";

  Tree& tree_;
  Node& node_;
  const CopyUpDepth depth_;
  FdRef source_dir_;
  Name source_name_;
  const layer::OwnerRecords* source_records_ = nullptr;
  struct stat st_ = {};
  std::string origin_;
  bool metacopy_ = false;
  bool indexed_ = false;
  bool breaks_link_ = false;  // the other names of the lower inode stay what they are
  bool named_ = false;        // the temporary has a name in the work directory
};

Result<void> Tree::mark_impure(Node& dir, int dirfd) {
  if (dir.dir->impure) return {};
  LAYERFS_TRY(
      sys::set_xattr(sys::At(dirfd), stack_->names().mark(layer::mark::kImpure), layer::kYes));
  dir.dir->impure = true;
  return {};
}

Result<void> Tree::copy_up_ancestors(Node& node) {
  std::vector<Node*> chain;
  {
    auto shape = enter();
    for (Node* at = node.parent.load(); at != nullptr && !at->has(Node::kUpper);
         at = at->parent.load()) {
      pin(*at);
      chain.push_back(at);
    }
  }
  Result<void> status;
  for (auto it = chain.rbegin(); it != chain.rend(); ++it) {
    if (status) {
      std::lock_guard lock((*it)->copy_up_lock);
      status = CopyUp(*this, **it, CopyUpDepth::metadata()).run();
    }
  }
  auto shape = enter();
  for (Node* at : chain) unpin(shape, *at);
  return status;
}

Result<void> Tree::copy_up(Node& node, CopyUpDepth depth) {
  if (upper() == nullptr) return fail(EROFS);
  if (!satisfies(node, depth)) {
    LAYERFS_TRY(copy_up_ancestors(node));
    std::lock_guard lock(node.copy_up_lock);
    LAYERFS_TRY(CopyUp(*this, node, depth).run());
  }
  if (node.has(Node::kLowerNames)) return link_lower_names(node);
  return {};
}

}  // namespace layerfs::tree
