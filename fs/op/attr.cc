#include "fs/op/attr.h"

#include <fcntl.h>

#include "fs/op/file_system_state.h"
#include "fs/op/privileges.h"
#include "fs/op/protection.h"
#include "fs/op/xattr.h"
#include "fs/sys/file.h"

namespace layerfs::op {
namespace {

Result<void> change_times(const tree::Place& place, const AttrChange& change) {
  if (!change.atime && !change.mtime) return {};
  constexpr timespec kOmit = {0, UTIME_OMIT};
  return sys::set_times_at(place.dirfd(), place.name(), change.atime.value_or(kOmit),
                           change.mtime.value_or(kOmit));
}

// What to store for a new owner that is shown as `id`; -1 leaves it as it is. EOVERFLOW for one
// that cannot be stored, as on an idmapped mount of the kernel's.
Result<std::uint32_t> stored_owner(const IdMap& map, const std::optional<std::uint32_t>& id) {
  if (!id || map.squashes()) return static_cast<std::uint32_t>(-1);
  const auto stored = map.stored(*id);
  if (!stored) return fail(EOVERFLOW);
  return *stored;
}

Result<void> change_owner(const FileSystem& fs, const tree::Place& place,
                          const AttrChange& change) {
  LAYERFS_TRY_ASSIGN(const uid_t uid, stored_owner(fs.ids.users, change.uid));
  LAYERFS_TRY_ASSIGN(const gid_t gid, stored_owner(fs.ids.groups, change.gid));
  return place.chown(uid, gid);
}

Result<void> change_mode(const FileSystem& fs, const tree::Place& place, mode_t mode) {
  if (fs.ids.are_identity() || (mode & (S_ISUID | S_ISGID)) == 0) return place.chmod(mode);
  LAYERFS_TRY_ASSIGN(const struct stat st, place.stat());
  return place.chmod(fs.ids.honoured(mode, st));
}

// The owner before the mode, since chown clears setuid; times last, since a new size sets them. Not
// what a change of owner leaves of setuid and setgid.
Result<void> apply(const FileSystem& fs, const tree::Place& place, const AttrChange& change) {
  const bool chowns = change.uid || change.gid;
  if (chowns) LAYERFS_TRY(change_owner(fs, place, change));
  if (change.mode) LAYERFS_TRY(change_mode(fs, place, *change.mode & 07777));
  if (change.size) LAYERFS_TRY(sys::truncate_at(place.at(), *change.size));
  if (change.kill_suidgid && !chowns) LAYERFS_TRY(drop_privileges(fs, place, *change.kill_suidgid));
  return change_times(place, change);
}

bool changes_mtime_only(const AttrChange& change) {
  return change.mtime && !change.atime && !change.mode && !change.uid && !change.gid &&
         !change.size && !change.kill_suidgid;
}

// The kernel asks for it with each change of owner, also of a symlink, whose target is not meant.
// What was chowned has lost setuid and capabilities by that already, and setgid where the group may
// execute; the rest depends on who asks.
bool must_drop_privileges(const AttrChange& change, const struct stat& chowned) {
  return change.kill_suidgid && (change.uid || change.gid) && S_ISREG(chowned.st_mode) &&
         (chowned.st_mode & (S_ISUID | S_ISGID)) != 0;
}

// With its writeback cache the kernel tells the times of each removed inode (fuse_update_ctime()).
// A lower file without a name is not copied up to be given what it has. Its attributes if that is
// so.
Result<std::optional<struct stat>> has_already(FileSystem& fs, tree::Node& node,
                                               const AttrChange& change) {
  std::optional<struct stat> none;
  if (!changes_mtime_only(change)) return none;
  if (!node.has(tree::Node::kDetached) || node.has(tree::Node::kUpper)) return none;
  auto shape = fs.tree->enter();
  LAYERFS_TRY_ASSIGN(const struct stat st, fs.tree->attr(shape, node));
  const bool same =
      st.st_mtim.tv_sec == change.mtime->tv_sec && st.st_mtim.tv_nsec == change.mtime->tv_nsec;
  return same ? std::optional(st) : none;
}

// The descriptors of the superseded node `id` may still read the lower file. Then they show its
// size and blocks, beside the other attributes of the file that has the name.
void show_size_of_outdated(FileSystem& fs, NodeId id, struct stat& st) {
  const tree::Node* node = fs.tree->exact_node(id);
  if (node == nullptr) return;
  if (const auto lower = fs.open_files.outdated_size(*node)) {
    st.st_size = lower->bytes;
    st.st_blocks = lower->blocks;
  }
}

}  // namespace

Result<struct stat> getattr(FileSystem& fs, NodeId id) {
  LAYERFS_TRY_ASSIGN(tree::Node * node, find_node(fs, id));
  auto st = [&] {
    auto shape = fs.tree->enter();
    return fs.tree->attr(shape, *node);
  }();
  if (!st) return fail(st.error());
  if (node->id != id) show_size_of_outdated(fs, id, *st);
  return fs.ids.shown(*st);
}

Result<AttrAndBirth> statx(FileSystem& fs, NodeId id) {
  LAYERFS_TRY_ASSIGN(tree::Node * node, find_node(fs, id));
  // Before it is looked at, for it may be copied up meanwhile.
  const bool upper = node->has(tree::Node::kUpper);
  if (!upper && !fs.read_only()) node->set(tree::Node::kLowerBirthTold);
  AttrAndBirth result;
  {
    auto shape = fs.tree->enter();
    LAYERFS_TRY_ASSIGN(const tree::Place place, fs.tree->place(shape, *node));
    LAYERFS_TRY_ASSIGN(result.birth, sys::birth_time(place.at()));
  }
  LAYERFS_TRY_ASSIGN(result.attr, getattr(fs, id));
  if (upper) node->clear(tree::Node::kLowerBirthTold);
  return result;
}

bool attr_lasts(FileSystem& fs, NodeId id) {
  const tree::Node* node = fs.tree->exact_node(id);
  if (node == nullptr) return true;
  return !node->has(tree::Node::kSuperseded) && attr_lasts(*node);
}

Result<struct stat> setattr(FileSystem& fs, NodeId id, const AttrChange& change) {
  LAYERFS_TRY_ASSIGN(tree::Node * node, find_node(fs, id));
  LAYERFS_TRY(allow_setattr(fs, *node, change));
  LAYERFS_TRY_ASSIGN(const auto unchanged, has_already(fs, *node, change));
  if (unchanged) return fs.ids.shown(*unchanged);
  tree::CopyUpDepth depth;
  if (change.size) depth = {true, *change.size};
  LAYERFS_TRY(fs.tree->copy_up(*node, depth));
  if (change.size) LAYERFS_TRY(fs.open_files.follow_copy_up(*node));
  auto shape = fs.tree->enter();
  {
    LAYERFS_TRY_ASSIGN(tree::Place place, fs.tree->place(shape, *node));
    LAYERFS_TRY(apply(fs, place, change));
  }
  LAYERFS_TRY_ASSIGN(struct stat st, fs.tree->attr(shape, *node));
  if (must_drop_privileges(change, st)) {
    LAYERFS_TRY_ASSIGN(tree::Place place, fs.tree->place(shape, *node));
    LAYERFS_TRY(drop_privileges(fs, place, *change.kill_suidgid));
    LAYERFS_TRY_ASSIGN(st, fs.tree->attr(shape, *node));
  }
  return fs.ids.shown(st);
}

Result<struct stat> prepare_write(FileSystem& fs, NodeId node, const Caller& caller) {
  if (!may_keep_setuid(caller)) {
    AttrChange change;
    change.kill_suidgid = caller;
    return setattr(fs, node, change);
  }
  if (!says_no_capability(getxattr(fs, node, kCapability))) {
    LAYERFS_TRY(drop_xattr(fs, node, kCapability));
  }
  return getattr(fs, node);
}

Result<std::string> readlink(FileSystem& fs, NodeId id) {
  LAYERFS_TRY_ASSIGN(tree::Node * node, find_node(fs, id));
  auto shape = fs.tree->enter();
  return fs.tree->readlink(shape, *node);
}

Result<struct statvfs> statfs(FileSystem& fs) {
  const tree::Stack& stack = fs.tree->stack();
  const int fd = fs.read_only() ? stack.roots().front()->layer->root() : stack.upper()->root.get();
  struct statvfs st;
  if (::fstatvfs(fd, &st) != 0) return fail(Errno::last());
  return st;
}

}  // namespace layerfs::op
