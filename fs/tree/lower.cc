// Questions to lower layers. A layer's index answers them without a system call on the layer.
#include <dirent.h>
#include <fcntl.h>
#include <sys/sysmacros.h>

#include "fs/sys/file.h"
#include "fs/tree/tree.h"

namespace layerfs::tree {
namespace {

using layer::IndexedEntry;
using layer::IndexedInode;

const layer::Index* index_of(const LowerDir& dir) {
  return dir.slot == layer::kNoSlot ? nullptr : dir.layer->index();
}

struct stat on_device(struct stat st, dev_t device) {
  st.st_dev = device;
  return st;
}

std::string path_in(const LowerDir& dir, std::string_view name) {
  std::string path = dir.path();
  if (!name.empty() && !path.empty()) path += '/';
  return path += name;
}

// `error`, which ended a question about `name` in `dir` or, if that is empty, about `dir` itself.
// If it is a fault of the layer's file system the reason is told.
tl::unexpected<Errno> explained(const LowerDir& dir, std::string_view name, Errno error,
                                std::string_view reason) {
  if (!layer::is_fault(error)) return fail(error);
  return dir.layer->reporter().failed(path_in(dir, name), error, reason);
}

// The same for an answer of the layer's index.
template <typename T>
Result<T> indexed(const LowerDir& dir, std::string_view name, Result<T> answer) {
  if (answer) return answer;
  return explained(dir, name, answer.error(), "the index of the layer contradicts itself");
}

// As the layer itself would show a whiteout.
struct stat whiteout_stat(dev_t device) {
  struct stat st = {};
  st.st_dev = device;
  st.st_mode = S_IFCHR;
  st.st_rdev = makedev(0, 0);
  return st;
}

layer::Marks marks_of(const IndexedInode& inode) {
  layer::Marks marks;
  marks.opaque = (inode.flags & layer::index_flag::kOpaque) != 0;
  marks.metacopy = (inode.flags & layer::index_flag::kMetacopy) != 0;
  if ((inode.flags & layer::index_flag::kRedirect) != 0) marks.redirect = inode.text;
  return marks;
}

// The inode of `name`; ENOENT for a whiteout, too.
Result<IndexedInode> find_inode(const layer::Index& index, const LowerDir& dir,
                                std::string_view name) {
  LAYERFS_TRY_ASSIGN(const std::optional<IndexedEntry> entry,
                     indexed(dir, name, index.find(dir.slot, name)));
  if (!entry) return fail(ENOENT);
  return indexed(dir, name, index.inode(entry->slot));
}

// The inode of a node that lies in a lower layer only; nothing if that layer has no index.
Result<std::optional<IndexedInode>> indexed_inode(const Node& node, const LowerDir& dir) {
  const layer::Index* index = index_of(dir);
  if (index == nullptr) return std::nullopt;
  if (node.is_dir()) return indexed(dir, {}, index->inode(dir.slot));
  return find_inode(*index, dir, node.lower.name.view());
}

Result<void> list_indexed(const layer::Index& index, const LowerDir& dir,
                          const std::function<Result<void>(const layer::Listed&)>& fn) {
  const auto done = index.for_each(dir.slot, 0, [&](const IndexedEntry& entry) -> Result<void> {
    layer::Listed listed{entry.name.data(), entry.type, 0, entry.whiteout()};
    if (!entry.whiteout()) {
      LAYERFS_TRY_ASSIGN(const IndexedInode inode, index.inode(entry.slot));
      listed.ino = inode.attr.st_ino;
    }
    return fn(listed);
  });
  return indexed(dir, {}, done);
}

}  // namespace

LowerDirPtr Tree::child_dir(const LowerDirPtr& dir, const Name& name) {
  auto child = std::make_unique<LowerDir>();
  child->layer = dir->layer;
  child->position = dir->position;
  child->parent = dir;
  child->name = name;
  child->key = next_lower_key_.fetch_add(1, std::memory_order_relaxed);
  if (const layer::Index* index = index_of(*dir)) {
    // Where the index fails, the directory is read from the layer itself.
    const auto entry = indexed(*dir, name.view(), index->find(dir->slot, name.view()));
    if (entry && *entry && (*entry)->type == DT_DIR) child->slot = (*entry)->slot;
  }
  return LowerDirPtr(std::move(child));
}

Result<struct stat> Tree::lower_stat(const LowerDirPtr& dir, const Name& name) {
  const dev_t device = dir->layer->device();
  if (dir->layer->has_aufs_whiteouts() && layer::is_aufs_name(name.view())) return fail(ENOENT);
  if (const layer::Index* index = index_of(*dir)) {
    LAYERFS_TRY_ASSIGN(const auto entry,
                       indexed(*dir, name.view(), index->find(dir->slot, name.view())));
    if (!entry) return fail(ENOENT);
    if (entry->whiteout()) return whiteout_stat(device);
    if (!dir->layer->records().any()) {
      LAYERFS_TRY_ASSIGN(const IndexedInode inode,
                         indexed(*dir, name.view(), index->inode(entry->slot)));
      return on_device(inode.attr, device);
    }
  }
  LAYERFS_TRY_ASSIGN(FdRef fd, lower_dir(dir));
  auto st = Place(std::move(fd), {}, name).recorded_in(dir->layer->records()).stat();
  // Records tell what is wrong with them.
  if (st || dir->layer->records().any()) return st;
  return explained(*dir, name.view(), st.error(), "its attributes cannot be read");
}

Result<bool> Tree::lower_hides(const LowerDirPtr& dir, const Name& name) {
  if (index_of(*dir) != nullptr || !dir->layer->has_aufs_whiteouts()) return false;
  LAYERFS_TRY_ASSIGN(FdRef fd, lower_dir(dir));
  return layer::has_aufs_whiteout(fd->get(), name.view());
}

Result<layer::Marks> Tree::lower_marks(const LowerDirPtr& dir, bool more_below) {
  if (const layer::Index* index = index_of(*dir)) {
    LAYERFS_TRY_ASSIGN(const IndexedInode inode, indexed(*dir, {}, index->inode(dir->slot)));
    return marks_of(inode);
  }
  LAYERFS_TRY_ASSIGN(FdRef fd, lower_dir(dir));
  LAYERFS_TRY_ASSIGN(layer::Marks marks, layer::read_marks(sys::At(fd->get()), stack_->names(),
                                                           dir->layer->reporter()));
  if (!marks.opaque && more_below && dir->layer->has_aufs_whiteouts()) {
    LAYERFS_TRY_ASSIGN(marks.opaque, layer::has_aufs_opaque(fd->get()));
  }
  return marks;
}

Result<layer::Marks> Tree::lower_file_marks(const LowerFile& file) {
  if (const layer::Index* index = index_of(*file.dir)) {
    LAYERFS_TRY_ASSIGN(const IndexedInode inode, find_inode(*index, *file.dir, file.name.view()));
    return marks_of(inode);
  }
  LAYERFS_TRY_ASSIGN(FdRef fd, lower_dir(file.dir));
  return layer::read_marks(sys::At(fd->get(), file.name.c_str()), stack_->names(),
                           file.dir->layer->reporter());
}

Result<void> Tree::list_lower(const LowerDirPtr& dir,
                              const std::function<Result<void>(const layer::Listed&)>& fn) {
  if (const layer::Index* index = index_of(*dir)) {
    const dev_t device = dir->layer->device();
    return list_indexed(*index, *dir, [&](layer::Listed entry) {
      if (!entry.whiteout) entry.ino = listed_number(InodeId{device, entry.ino});
      return fn(entry);
    });
  }
  LAYERFS_TRY_ASSIGN(FdRef path_fd, lower_dir(dir));
  LAYERFS_TRY_ASSIGN(sys::UniqueFd fd,
                     sys::open_beneath(path_fd->get(), "", O_RDONLY | O_DIRECTORY));
  LAYERFS_TRY_ASSIGN(layer::Marks marks,
                     layer::read_marks(sys::At(fd.get()), stack_->names(), dir->layer->reporter()));
  const layer::Dialect dialect{.aufs = dir->layer->has_aufs_whiteouts(),
                               .xattr_whiteouts = marks.xattr_whiteouts};
  LAYERFS_TRY_ASSIGN(const struct stat self, sys::stat_fd(fd.get()));
  const bool shows_mounts = dir->layer->shows_mounts();
  auto opaque = layer::list_entries(fd.get(), dialect, stack_->names(), [&](layer::Listed entry) {
    if (!entry.whiteout) entry.ino = listed_number(fd.get(), self.st_dev, shows_mounts, entry);
    return fn(entry);
  });
  if (!opaque) return explained(*dir, {}, opaque.error(), "it cannot be listed");
  return {};
}

const LowerDirPtr& Tree::shown_root(const LowerDirs& lowers) const {
  const std::size_t wanted = stack_->options().root_lower;
  return wanted < lowers.size() ? lowers[wanted] : lowers.front();
}

const LowerDirPtr& Tree::shown_lower(const Node& node) const {
  if (!node.is_dir()) return node.lower.dir;
  const auto& lowers = node.dir->lowers;
  return &node == root_ ? shown_root(lowers) : lowers.front();
}

Result<std::optional<struct stat>> Tree::indexed_attr(const Node& node) const {
  const LowerDirPtr& dir = shown_lower(node);
  // An index has the attributes of the inodes themselves.
  if (dir->layer->records().any()) return std::nullopt;
  LAYERFS_TRY_ASSIGN(const auto inode, indexed_inode(node, *dir));
  if (!inode) return std::nullopt;
  return on_device(inode->attr, dir->layer->device());
}

Result<std::string> Tree::readlink(const ShapeToken& shape, Node& node) {
  if (!node.has(Node::kUpper)) {
    LAYERFS_TRY_ASSIGN(const auto inode, indexed_inode(node, *shown_lower(node)));
    if (inode) return std::string(inode->text);
  }
  LAYERFS_TRY_ASSIGN(Place at, place(shape, node));
  return at.readlink();
}

bool Tree::has_no_xattrs(const Node& node) const {
  if (node.has(Node::kUpper)) return false;
  const auto inode = indexed_inode(node, *shown_lower(node));
  return inode && *inode && ((*inode)->flags & layer::index_flag::kAnyXattr) == 0;
}

std::optional<bool> Tree::is_program(const Node& node) const {
  if (node.has(Node::kUpper)) return std::nullopt;
  const auto inode = indexed_inode(node, *shown_lower(node));
  if (!inode || !*inode) return std::nullopt;
  const std::uint32_t flags = (*inode)->flags;
  if ((flags & layer::index_flag::kMetacopy) != 0) return std::nullopt;
  if ((flags & layer::index_flag::kProgram) != 0) return true;
  if ((flags & layer::index_flag::kMaybeProgram) != 0) return std::nullopt;
  return false;
}

}  // namespace layerfs::tree
