#include "fs/op/xattr.h"

#include <optional>

#include "fs/op/file_system_state.h"
#include "fs/op/privileges.h"
#include "fs/op/protection.h"
#include "fs/sys/file.h"
#include "fs/sys/xattr.h"

namespace layerfs::op {
namespace {

bool is_acl(std::string_view name) { return name.starts_with("system.posix_acl_"); }

// Whether "there is none" is a possible answer. For other names (no known namespace, nothing behind
// it, an ACL of a symlink) the file system has other errors.
bool is_plain_name(std::string_view name, mode_t type) {
  if (is_acl(name)) return !S_ISLNK(type);
  for (const std::string_view prefix : {"user.", "trusted.", "security."}) {
    if (name.starts_with(prefix)) return name.size() > prefix.size();
  }
  return false;
}

Result<std::string> read_value(FileSystem& fs, tree::Node& node, const std::string& on_disk) {
  auto shape = fs.tree->enter();
  const bool none = is_plain_name(on_disk, node.type) && fs.tree->has_no_xattrs(node);
  if (none || fs.tree->stack().names().is_private(on_disk)) return fail(ENODATA);
  LAYERFS_TRY_ASSIGN(tree::Place place, fs.tree->place(shape, node));
  auto value = sys::get_xattr(place.at(), on_disk);
  // The mount has ACLs, whether the file system of the layer has them or not.
  const bool no_acls = !value && value.error() == Errno(EOPNOTSUPP) && is_acl(on_disk);
  if (no_acls && !S_ISLNK(node.type)) return fail(ENODATA);
  return value;
}

Result<void> drop_setgid(const tree::Place& place, mode_t type) {
  if (!S_ISREG(type) && !S_ISDIR(type)) return {};
  LAYERFS_TRY_ASSIGN(const struct stat st, place.stat());
  if ((st.st_mode & S_ISGID) == 0) return {};
  return place.chmod(st.st_mode & 07777 & ~mode_t{S_ISGID});
}

// The names of `list` that the caller may see, under the names it knows them by.
std::string shown_names(const layer::XattrNames& names, const Caller& caller,
                        const std::string& list) {
  std::optional<bool> sees_trusted;  // costs a look at the caller, and few files have any
  std::string shown;
  for (const std::string& name : sys::split_xattrs(list)) {
    if (names.is_private(name)) continue;
    if (name.starts_with("trusted.")) {
      if (!sees_trusted) sees_trusted = may_see_trusted(caller);
      if (!*sees_trusted) continue;
    }
    shown += names.visible(name);
    shown += '\0';
  }
  return shown;
}

void forget_default_acl(tree::Node& node) {
  if (node.is_dir()) node.dir->default_acl = tree::Directory::DefaultAcl::kUnknown;
}

}  // namespace

Result<std::string> getxattr(FileSystem& fs, NodeId id, const std::string& name) {
  LAYERFS_TRY_ASSIGN(tree::Node * node, find_node(fs, id));
  // The kernel asks before the first write to a file, and before each change of its owner.
  if (name == kCapability && node->has(tree::Node::kNoCapability)) return fail(ENODATA);
  LAYERFS_TRY_ASSIGN(std::string on_disk, fs.tree->stack().names().on_disk(name));
  LAYERFS_TRY_ASSIGN(std::string value, read_value(fs, *node, on_disk));
  if (fs.ids.are_identity() || !is_acl(name)) return value;
  return map_acl(fs.ids, value, IdDirection::kToShown);
}

Result<std::string> listxattr(FileSystem& fs, const Caller& caller, NodeId id) {
  LAYERFS_TRY_ASSIGN(tree::Node * node, find_node(fs, id));
  std::string list;
  {
    auto shape = fs.tree->enter();
    if (fs.tree->has_no_xattrs(*node)) return list;
    LAYERFS_TRY_ASSIGN(tree::Place place, fs.tree->place(shape, *node));
    LAYERFS_TRY_ASSIGN(list, sys::list_xattr(place.at()));
  }
  return shown_names(fs.tree->stack().names(), caller, list);
}

Result<void> setxattr(FileSystem& fs, NodeId id, const std::string& name, std::string_view value,
                      int flags, bool kill_sgid) {
  LAYERFS_TRY_ASSIGN(tree::Node * node, find_node(fs, id));
  LAYERFS_TRY_ASSIGN(std::string on_disk, fs.tree->stack().names().on_disk(name));
  std::string mapped;
  if (!fs.ids.are_identity() && is_acl(name)) {
    LAYERFS_TRY_ASSIGN(mapped, map_acl(fs.ids, value, IdDirection::kToStored));
    value = mapped;
  }
  LAYERFS_TRY(allow_setxattr(fs, *node));
  LAYERFS_TRY(fs.tree->copy_up(*node, tree::CopyUpDepth::metadata()));
  auto shape = fs.tree->enter();
  LAYERFS_TRY_ASSIGN(tree::Place place, fs.tree->place(shape, *node));
  if (fs.tree->stack().names().is_private(on_disk)) return fail(EPERM);
  if (name == kCapability) node->clear(tree::Node::kNoCapability);
  LAYERFS_TRY(sys::set_xattr(place.at(), on_disk, value, flags));
  if (is_acl(name)) LAYERFS_TRY(place.follow_acl());
  forget_default_acl(*node);
  if (!kill_sgid) return {};
  return drop_setgid(place, node->type);
}

Result<void> removexattr(FileSystem& fs, NodeId id, const std::string& name) {
  LAYERFS_TRY_ASSIGN(tree::Node * node, find_node(fs, id));
  LAYERFS_TRY(allow_setxattr(fs, *node));
  return drop_xattr(fs, id, name);
}

Result<void> drop_xattr(FileSystem& fs, NodeId id, const std::string& name) {
  LAYERFS_TRY_ASSIGN(tree::Node * node, find_node(fs, id));
  LAYERFS_TRY_ASSIGN(std::string on_disk, fs.tree->stack().names().on_disk(name));
  // Only directories have one; to take it from a file is a success, as everywhere in Linux.
  if (name == "system.posix_acl_default" && !node->is_dir()) return {};
  // What is not there is no reason to copy a file up. In the upper it is the file system's to say:
  // an ACL that is not there can be removed, other xattrs can't.
  const bool hidden = fs.tree->stack().names().is_private(on_disk);
  if (hidden || !node->has(tree::Node::kUpper)) LAYERFS_TRY(read_value(fs, *node, on_disk));
  LAYERFS_TRY(fs.tree->copy_up(*node, tree::CopyUpDepth::metadata()));
  auto shape = fs.tree->enter();
  LAYERFS_TRY_ASSIGN(tree::Place place, fs.tree->place(shape, *node));
  LAYERFS_TRY(sys::remove_xattr(place.at(), on_disk));
  forget_default_acl(*node);
  return {};
}

}  // namespace layerfs::op
