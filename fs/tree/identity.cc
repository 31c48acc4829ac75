// Which inode is which: what st_ino an inode shows, and which names are those of one file.
// doc/tree.md, "Identity", has the argument.
#include <dirent.h>
#include <fcntl.h>
#include <sys/sysmacros.h>

#include <fmt/format.h>

#include "fs/layer/marks.h"
#include "fs/sys/file.h"
#include "fs/tree/tree.h"

namespace layerfs::tree {
namespace {

// Whether a file of that type may be the one copy of the lower `st`. A copy that broke a hard link
// is another file than the names that stay lower.
bool is_sole_origin(const struct stat& st, mode_t type) {
  if (S_ISCHR(st.st_mode) && st.st_rdev == 0) return false;  // a whiteout
  return (st.st_mode & S_IFMT) == type && (S_ISDIR(type) || st.st_nlink == 1);
}

// What stays the same of a lower inode: by it files are told apart that show one device and number.
std::string attributes_of(const struct stat& st) {
  return fmt::format("{} {} {} {} {} {}.{} {}.{}", st.st_mode, st.st_nlink, st.st_uid, st.st_gid,
                     st.st_size, st.st_mtim.tv_sec, st.st_mtim.tv_nsec, st.st_ctim.tv_sec,
                     st.st_ctim.tv_nsec);
}

}  // namespace

ino_t Tree::lower_number(const struct stat& st) const {
  const ino_t number = unclaimed_number(st);
  InodeNumbers& numbers = stack_->numbers();
  return numbers.is_claimed(number) ? numbers.own(InodeId::of(st)) : number;
}

ino_t Tree::unclaimed_number(const struct stat& st) const {
  const InodeId inode = InodeId::of(st);
  if (stack_->file_systems().tells_inodes_apart(st.st_dev)) return stack_->numbers().shown(inode);
  return stack_->numbers().shown(inode, attributes_of(st));
}

ino_t Tree::listed_number(const InodeId& inode) const {
  if (!stack_->file_systems().tells_inodes_apart(inode.device)) return 0;
  const ino_t number = stack_->numbers().shown(inode);
  // It may be that of this very inode, copied up by way of another name.
  return stack_->numbers().is_claimed(number) ? 0 : number;
}

ino_t Tree::listed_number(int fd, dev_t device, bool shows_mounts,
                          const layer::Listed& entry) const {
  const FileSystems& known = stack_->file_systems();
  const bool is_told = entry.type == DT_DIR
                           ? !shows_mounts && known.lists_numbers_of_directories(device)
                           : known.lists_numbers(device);
  if (is_told) return listed_number({device, entry.ino});
  const auto st = sys::stat_at(fd, entry.name);
  return st ? listed_number(InodeId::of(*st)) : 0;
}

ino_t Tree::new_number(const struct stat& st) {
  stack_->numbers().renew(st.st_ino);
  const ino_t number = stack_->numbers().shown(InodeId::of(st));
  forgotten_.erase(number);  // it may have been that of another
  return number;
}

Result<void> Tree::keep_number(const Node& node, int inode) {
  if (node.is_dir()) return {};
  LAYERFS_TRY_ASSIGN(const struct stat st, sys::stat_fd(inode));
  InodeNumbers& numbers = stack_->numbers();
  if (node.ino != numbers.shown(InodeId::of(st))) numbers.keep(st.st_ino, node.ino);
  return {};
}

Result<ino_t> Tree::upper_number(const Node& node, Node& dir, const Entry& entry,
                                 const struct stat& st, const layer::Marks& marks) {
  InodeNumbers& numbers = stack_->numbers();
  const ino_t plain = numbers.shown(InodeId::of(st));
  if (!marks.has_origin) return plain;
  if (const auto kept = numbers.kept(st.st_ino)) return *kept;
  LAYERFS_TRY_ASSIGN(const auto number, node.is_dir() ? number_of_lower_dir(node)
                                                      : origin_number(node, dir, entry, marks));
  return number && numbers.claim(*number, st.st_ino) ? *number : plain;
}

Result<std::optional<ino_t>> Tree::number_of_lower_dir(const Node& node) {
  if (node.dir->lowers.empty()) return std::nullopt;
  const LowerDirPtr& front = node.dir->lowers.front();
  if (front->parent != nullptr) {
    LAYERFS_TRY_ASSIGN(const struct stat st, lower_stat(front->parent, front->name));
    return unclaimed_number(st);
  }
  LAYERFS_TRY_ASSIGN(const struct stat st, sys::stat_fd(front->layer->root()));
  return stack_->numbers().shown(InodeId::of(st));
}

Result<std::optional<ino_t>> Tree::origin_number(const Node& node, Node& dir, const Entry& entry,
                                                 const layer::Marks& marks) {
  const FileSystems& known = stack_->file_systems();
  const auto named = known.named_by(marks.origin);
  if (named) {
    const ino_t number = stack_->numbers().shown(*named);
    if (node.has(Node::kIndexed)) return number;
    const auto st = known.find(marks.origin);
    if (st) return is_sole_origin(*st, node.type) ? std::optional(number) : std::nullopt;
    if (st.error() == Errno(ESTALE)) return std::nullopt;
    if (st.error() != Errno(EPERM)) return fail(st.error());
  }
  // Without the privilege to open it, or without a handle, the name that it covers has to say so.
  if (!entry.lower_below) return std::nullopt;
  for (const LowerDirPtr& lower : dir.dir->lowers) {
    const auto st = lower_stat(lower, entry.name);
    if (st) {
      if (!is_sole_origin(*st, node.type) || (named && *named != InodeId::of(*st)))
        return std::nullopt;
      return unclaimed_number(*st);
    }
    if (st.error() != Errno(ENOENT)) return fail(st.error());
    LAYERFS_TRY_ASSIGN(const bool hidden, lower_hides(lower, entry.name));
    if (hidden) return std::nullopt;
  }
  return std::nullopt;
}

Result<std::optional<InodeId>> Tree::find_index_origin(const std::string& origin,
                                                       const struct stat& st) const {
  if (!upper()->work->index_in_use()) return std::nullopt;
  const auto named = stack_->file_systems().named_by(origin);
  if (!named) return std::nullopt;
  const auto entry = sys::stat_at(upper()->work->index(), layer::index_name(origin).c_str());
  if (!entry && entry.error() != Errno(ENOENT)) return fail(entry.error());
  return entry && InodeId::of(*entry) == InodeId::of(st) ? named : std::nullopt;
}

Result<Node*> Tree::find_linked_lower(Node& dir, const Entry& entry, const LowerFile& lower,
                                      const struct stat& st) {
  if (Node* known = hard_links_.find_and_count(InodeId::of(st))) {
    remember_lower_name(*known, dir, entry);
    return known;
  }
  LAYERFS_TRY_ASSIGN(Indexed indexed, make_indexed_node(lower, st));
  if (indexed.node == nullptr) return nullptr;
  LAYERFS_TRY_ASSIGN(const struct stat copy, sys::stat_fd(indexed.fd.get()));
  keep_id(*indexed.node, dir, entry, true);
  if (!unplaced_.keep_by_handle(*indexed.node, indexed.fd.get(), ""))
    unplaced_.keep(*indexed.node, std::move(indexed.fd));
  Node& made = table_.insert(std::move(indexed.node));
  hard_links_.insert(made, InodeId::of(st));
  hard_links_.insert(made, InodeId::of(copy));
  remember_lower_name(made, dir, entry);
  return &made;
}

Result<Tree::Indexed> Tree::make_indexed_node(const LowerFile& lower, const struct stat& st) {
  if (upper() == nullptr || !upper()->work->index_in_use()) return Indexed{};
  LAYERFS_TRY_ASSIGN(FdRef dirfd, lower_dir(lower.dir));
  LAYERFS_TRY_ASSIGN(const std::string origin,
                     stack_->file_systems().origin_of(st, dirfd->get(), lower.name.c_str()));
  if (origin.empty()) return Indexed{};
  auto fd = sys::open_entry(upper()->work->index(), layer::index_name(origin).c_str());
  if (!fd && fd.error() == Errno(ENOENT)) return Indexed{};
  if (!fd) return fail(fd.error());
  LAYERFS_TRY_ASSIGN(const struct stat copy, sys::stat_fd(fd->get()));
  const layer::Reporter& reporter = upper()->reporter;
  if ((copy.st_mode & S_IFMT) != (st.st_mode & S_IFMT))
    return reporter.failed(sys::At(fd->get()), Errno(EIO),
                           "the index has it for the copy of a file of another type");
  LAYERFS_TRY_ASSIGN(layer::Marks marks,
                     layer::read_marks(sys::At(fd->get()), stack_->names(), reporter));
  if (marks.metacopy && !stack_->options().metacopy)
    return not_followed(reporter, sys::At(fd->get()));
  InodeNumbers& numbers = stack_->numbers();
  const ino_t origin_number = numbers.shown(InodeId::of(st));
  const ino_t number =
      numbers.claim(origin_number, copy.st_ino) ? origin_number : numbers.shown(InodeId::of(copy));
  auto node = std::make_unique<Node>(table_.new_id(), number, copy.st_mode);
  node->lower = lower;
  node->lookups = 1;
  node->flags = Node::kUpper | Node::kIndexed | Node::kDetached;
  note_protection(*node, layer::parse_protattr(marks.protattr));
  if (marks.metacopy && S_ISREG(copy.st_mode)) node->set(Node::kMetacopy);
  return Indexed{std::move(node), std::move(*fd)};
}

}  // namespace layerfs::tree
