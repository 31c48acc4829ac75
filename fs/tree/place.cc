// From nodes to inodes of layers.
#include <algorithm>

#include "fs/layer/marks.h"
#include "fs/sys/file.h"
#include "fs/sys/xattr.h"
#include "fs/tree/tree.h"

namespace layerfs::tree {
namespace {

constexpr auto kSameId = static_cast<uid_t>(-1);

}  // namespace

tl::unexpected<Errno> data_lost(const layer::Reporter& reporter, const sys::At& at, Errno error) {
  if (!layer::is_fault(error)) return fail(error);
  return reporter.failed(at, error,
                         "it is a metacopy, and its data cannot be reached in the layers below");
}

tl::unexpected<Errno> not_followed(const layer::Reporter& reporter, const sys::At& at) {
  return reporter.failed(at, Errno(EPERM),
                         "it leads elsewhere by overlay.redirect or overlay.metacopy, which this "
                         "mount does not follow (redirect_dir=, metacopy=, userxattr)");
}

Result<struct stat> Place::real_stat() const {
  return name_.empty() ? sys::stat_fd(fd_) : sys::stat_at(fd_, name_.c_str());
}

Result<struct stat> Place::stored_stat() const {
  LAYERFS_TRY_ASSIGN(const struct stat real, real_stat());
  return records_ == nullptr || !records_->any() ? real : records_->stored(at(), real);
}

Result<struct stat> Place::stat() const {
  LAYERFS_TRY_ASSIGN(const struct stat stored, stored_stat());
  return records_ == nullptr ? stored : records_->shown(stored);
}

Result<void> Place::chown(uid_t uid, gid_t gid) const {
  if (records_ == nullptr || !records_->any()) return sys::chown_at(fd_, name(), uid, gid);
  LAYERFS_TRY_ASSIGN(const struct stat real, real_stat());
  if (!records_->can_hold(real.st_mode)) {
    // Without privilege it stays the daemon's: nothing could say whose it is.
    auto changed = sys::chown_at(fd_, name(), uid, gid);
    const bool unable =
        !changed && (changed.error() == Errno(EPERM) || changed.error() == Errno(EINVAL));
    return unable ? Result<void>() : changed;
  }
  LAYERFS_TRY_ASSIGN(const struct stat st, stored_stat());
  std::optional<mode_t> mode;
  if (!S_ISDIR(st.st_mode) && !S_ISLNK(st.st_mode)) {
    mode = st.st_mode & 07777 & ~mode_t{S_ISUID};
    if ((st.st_mode & S_IXGRP) != 0) *mode &= ~mode_t{S_ISGID};
  }
  LAYERFS_TRY(records_->change(at(), real, uid, gid, mode));
  // What cannot be removed was not there, or could not be set in this namespace.
  if (S_ISREG(st.st_mode)) (void)sys::remove_xattr(at(), "security.capability");
  return {};
}

Result<void> Place::chmod(mode_t mode) const {
  if (records_ != nullptr && records_->any()) {
    LAYERFS_TRY_ASSIGN(const struct stat real, real_stat());
    if (records_->can_hold(real.st_mode)) {
      LAYERFS_TRY(records_->change(at(), real, kSameId, kSameId, mode));
      LAYERFS_TRY_ASSIGN(const auto acl, sys::find_xattr(at(), "system.posix_acl_access"));
      if (!acl) return {};
      // The ACL has to be in step with the mode.
      return sys::chmod_at(
          at(), layer::OwnerRecords::mode_on_disk((real.st_mode & S_IFMT) | (mode & 07777)));
    }
  }
  return sys::chmod_at(at(), mode);
}

Result<void> Place::follow_acl() const {
  if (records_ == nullptr || !records_->any()) return {};
  LAYERFS_TRY_ASSIGN(const struct stat real, real_stat());
  if (!records_->can_hold(real.st_mode)) return {};
  LAYERFS_TRY_ASSIGN(const struct stat stored, stored_stat());
  const mode_t mode = (stored.st_mode & 07000) | (real.st_mode & 0777);
  LAYERFS_TRY(records_->change(at(), real, kSameId, kSameId, mode));
  return sys::chmod_at(at(), layer::OwnerRecords::mode_on_disk(real.st_mode));
}

sys::At Place::at() const { return sys::At(fd_, name_.c_str()); }

Result<sys::UniqueFd> Place::open_path() const {
  return name_.empty() ? sys::duplicate(fd_) : sys::open_entry(fd_, name_.c_str());
}

Result<sys::UniqueFd> Place::open(int flags) const {
  if (name_.empty()) return sys::reopen(fd_, flags);
  return sys::open_beneath(fd_, name_.c_str(), flags | O_NOFOLLOW);
}

Result<std::string> Place::readlink() const { return sys::readlink_at(fd_, name_.c_str()); }

Result<void> Place::link_to(int dirfd, const char* name) const {
  return name_.empty() ? sys::link_fd(fd_, dirfd, name)
                       : sys::link_at(fd_, name_.c_str(), dirfd, name);
}

Result<std::string> Tree::upper_path(const Node& dir) const {
  std::vector<const Node*> chain;
  for (const Node* at = &dir; at != root_; at = at->parent.load()) {
    // What hangs below a removed directory cannot be reached by names.
    if (at == nullptr || at->has(Node::kDetached)) return fail(ESTALE);
    chain.push_back(at);
  }
  std::string path;
  for (auto it = chain.rbegin(); it != chain.rend(); ++it) {
    if (!path.empty()) path += '/';
    path += (*it)->name.view();
  }
  return path;
}

Result<sys::UniqueFd> Tree::open_upper_dir(const Node& dir) const {
  if (!dir.has(Node::kDetached)) {
    auto path = upper_path(dir);
    Result<sys::UniqueFd> fd =
        path ? open_long_path(upper()->root.get(), *path) : fail(path.error());
    // If it was removed meanwhile, that is not there or another directory of the same name: rmdir
    // marks the node before the name can be used again.
    if (!dir.has(Node::kDetached)) return fd;
  }
  LAYERFS_TRY_ASSIGN(const FdRef fd, unplaced_.open(dir));
  return sys::duplicate(fd->get());
}

Result<FdRef> Tree::upper_dir(const ShapeToken&, Node& dir) {
  if (FdRef known = dir_fds_.find(dir.id)) return known;
  LAYERFS_TRY_ASSIGN(sys::UniqueFd fd, with_room([&] { return open_upper_dir(dir); }));
  return dir_fds_.insert(dir.id, std::move(fd));
}

Result<FdRef> Tree::lower_dir(const LowerDirPtr& dir) {
  if (FdRef known = dir_fds_.find(dir->key)) return known;
  auto fd = with_room([&] { return open_long_path(dir->layer->root(), dir->path()); });
  if (!fd && layer::is_fault(fd.error()))
    return dir->layer->reporter().failed(dir->path(), fd.error(), "it cannot be opened");
  if (!fd) return fail(fd.error());
  return dir_fds_.insert(dir->key, *std::move(fd));
}

Result<sys::UniqueFd> Tree::open_long_path(int root, const std::string& path) {
  // One call takes less than PATH_MAX; a tree may be deeper.
  constexpr std::size_t kStep = 4000;
  constexpr int kFlags = O_PATH | O_DIRECTORY;
  if (path.size() < kStep) return sys::open_beneath(root, path.c_str(), kFlags);
  sys::UniqueFd at;
  for (std::size_t begin = 0; begin < path.size();) {
    std::size_t end = path.size();
    if (end - begin > kStep) end = path.rfind('/', begin + kStep);
    LAYERFS_TRY_ASSIGN(
        sys::UniqueFd next,
        sys::open_beneath(at ? at.get() : root, path.substr(begin, end - begin).c_str(), kFlags));
    at = std::move(next);
    begin = end + 1;
  }
  return at;
}

Result<Place> Tree::place(const ShapeToken& shape, Node& asked) {
  Node& node = successor_of(asked);
  if (node.is_dir()) {
    if (!node.has(Node::kUpper)) {
      const LowerDirPtr& lower = shown_lower(node);
      LAYERFS_TRY_ASSIGN(FdRef fd, lower_dir(lower));
      return Place(std::move(fd)).recorded_in(lower->layer->records());
    }
    LAYERFS_TRY_ASSIGN(FdRef fd, upper_dir(shape, node));
    return Place(std::move(fd)).recorded_in(upper()->records);
  }
  if (!node.has(Node::kUpper)) {
    LAYERFS_TRY_ASSIGN(FdRef fd, lower_dir(node.lower.dir));
    return Place(std::move(fd), {}, node.lower.name).recorded_in(node.lower.dir->layer->records());
  }
  if (!node.has(Node::kDetached)) {
    Node& parent = *node.parent.load();
    LAYERFS_TRY_ASSIGN(FdRef fd, upper_dir(shape, parent));
    std::shared_lock lock(parent.dir->mutex);
    if (!node.has(Node::kDetached))
      return Place(std::move(fd), std::move(lock), node.name).recorded_in(upper()->records);
    lock.unlock();
  }
  auto fd = unplaced_.open(node);
  if (fd) return Place(std::move(*fd)).recorded_in(upper()->records);
  // Meanwhile it may have got a place, or a successor.
  if (node.has(Node::kSuperseded) || !node.has(Node::kDetached)) return place(shape, node);
  return fail(fd.error());
}

Result<struct stat> Tree::upper_attr(const sys::At& at, const struct stat& real) const {
  const layer::OwnerRecords& records = upper()->records;
  if (!records.any()) return real;
  LAYERFS_TRY_ASSIGN(const struct stat stored, records.stored(at, real));
  return records.shown(stored);
}

Result<struct stat> Tree::attr(const ShapeToken& shape, Node& node) {
  if (!node.has(Node::kUpper)) {
    LAYERFS_TRY_ASSIGN(const std::optional<struct stat> known, indexed_attr(node));
    if (known) return present(node, *known);
  }
  LAYERFS_TRY_ASSIGN(Place at, place(shape, node));
  LAYERFS_TRY_ASSIGN(struct stat st, at.stat());
  if (node.has(Node::kIndexed)) {
    LAYERFS_TRY_ASSIGN(const int count, union_nlink(at.at(), st, node.lower));
    st.st_nlink = static_cast<nlink_t>(count);
  }
  return present(node, st);
}

Result<struct stat> Tree::present(Node& node, struct stat st) {
  st.st_ino = node.ino;
  if (node.is_dir()) {
    // As overlayfs: a merged directory does not count its subdirectories.
    const std::size_t layers = node.dir->lowers.size() + (node.has(Node::kUpper) ? 1 : 0);
    if (layers > 1) st.st_nlink = 1;
    if (node.has(Node::kDetached)) st.st_nlink = 0;
    return st;
  }
  if (node.has(Node::kDetached) && !node.has(Node::kUpper)) st.st_nlink = 0;
  if (S_ISREG(node.type) && !has_upper_data(node)) {
    LAYERFS_TRY_ASSIGN(const LowerData data, data_of(node.lower));
    if (!data.object.empty()) {
      // The kernel's guess: objects are looked for when they are opened, and they have no holes.
      st.st_blocks = (st.st_size + st.st_blksize - 1) / st.st_blksize * (st.st_blksize / 512);
    } else if (node.has(Node::kUpper) || data.file.dir.get() != node.lower.dir.get()) {
      LAYERFS_TRY_ASSIGN(const struct stat holder, lower_stat(data.file.dir, data.file.name));
      st.st_blocks = holder.st_blocks;
    }
  }
  return st;
}

bool Tree::has_upper_data(const Node& node) {
  return (node.flags.load(std::memory_order_acquire) & (Node::kUpper | Node::kMetacopy)) ==
         Node::kUpper;
}

Result<sys::UniqueFd> Tree::open_data(const ShapeToken& shape, Node& node, int flags) {
  if (!has_upper_data(node)) return open_lower_data(node.lower, flags);
  LAYERFS_TRY_ASSIGN(Place at, place(shape, node));
  auto fd = with_room([&] { return at.open(flags); });
  // An append-only file opens so only, and all that may be written to it is at its end.
  if (!fd && fd.error() == Errno(EPERM) && (flags & O_ACCMODE) != O_RDONLY)
    return at.open(flags | O_APPEND);
  return fd;
}

Result<LowerDirs> Tree::merged_below(const LowerDirPtr& dir) {
  LAYERFS_TRY_ASSIGN(LowerDirs chain, dir->parent == nullptr
                                          ? Result<LowerDirs>(stack_->roots())
                                          : follow_dir({}, dir->position, "/" + dir->path()));
  chain.erase(std::remove_if(chain.begin(), chain.end(),
                             [&](const LowerDirPtr& at) { return at->position <= dir->position; }),
              chain.end());
  return chain;
}

Result<LowerData> Tree::data_of(const LowerFile& from) {
  LowerFile file = from;
  for (;;) {
    const std::size_t below = file.dir->position + 1;
    if (!stack_->may_be_metacopy(*file.dir)) return LowerData{file, {}};
    LAYERFS_TRY_ASSIGN(const layer::Marks marks, lower_file_marks(file));
    if (!marks.metacopy) return LowerData{file, {}};
    // Into data-only layers it leads always: whoever mounts names them, for nothing else.
    if (!stack_->options().metacopy && below < stack_->roots().size()) {
      LAYERFS_TRY_ASSIGN(FdRef dir, lower_dir(file.dir));
      return not_followed(file.dir->layer->reporter(), sys::At(dir->get(), file.name.c_str()));
    }
    // Without a redirect the data has the same name in the directories that merge below.
    LAYERFS_TRY_ASSIGN(const LowerDirs siblings, merged_below(file.dir));
    const std::string_view target =
        marks.redirect.empty() ? file.name.view() : std::string_view(marks.redirect);
    auto found = find_file(siblings, below, target);
    const bool in_object = found && !*found && target.starts_with('/') && stack_->data_only().any();
    if (in_object) return LowerData{file, std::string(target)};
    if (!found || !*found) {
      LAYERFS_TRY_ASSIGN(FdRef dir, lower_dir(file.dir));
      return data_lost(file.dir->layer->reporter(), sys::At(dir->get(), file.name.c_str()),
                       found ? Errno(EIO) : found.error());
    }
    file = **std::move(found);
  }
}

Result<sys::UniqueFd> Tree::open_lower_data(const LowerFile& file, int flags) {
  LAYERFS_TRY_ASSIGN(const LowerData data, data_of(file));
  if (!data.object.empty()) return stack_->data_only().open(data.object, flags);
  LAYERFS_TRY_ASSIGN(FdRef dir, lower_dir(data.file.dir));
  return sys::open_beneath(dir->get(), data.file.name.c_str(), flags | O_NOFOLLOW);
}

}  // namespace layerfs::tree
