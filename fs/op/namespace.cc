#include "fs/op/namespace.h"

#include "fs/op/file_system_state.h"

namespace layerfs::op {
namespace {

Result<Entry> create_in(FileSystem& fs, NodeId parent, std::string_view name,
                        const tree::NewObject& object) {
  LAYERFS_TRY_ASSIGN(tree::Node * dir, find_dir(fs, parent));
  LAYERFS_TRY_ASSIGN(tree::Found found, fs.tree->create(*dir, name, object));
  return entry_of(fs, found);
}

}  // namespace

Result<Entry> mknod(FileSystem& fs, const Caller& caller, NodeId parent, std::string_view name,
                    mode_t mode, dev_t rdev) {
  LAYERFS_TRY_ASSIGN(tree::NewObject object, new_object(fs, caller, mode));
  object.rdev = rdev;
  return create_in(fs, parent, name, object);
}

Result<Entry> mkdir(FileSystem& fs, const Caller& caller, NodeId parent, std::string_view name,
                    mode_t mode) {
  LAYERFS_TRY_ASSIGN(const tree::NewObject object,
                     new_object(fs, caller, S_IFDIR | (mode & 07777)));
  return create_in(fs, parent, name, object);
}

Result<Entry> symlink(FileSystem& fs, const Caller& caller, NodeId parent, std::string_view name,
                      std::string_view target) {
  LAYERFS_TRY_ASSIGN(tree::NewObject object, new_object(fs, caller, S_IFLNK | 0777));
  object.target = target;
  return create_in(fs, parent, name, object);
}

Result<Entry> link(FileSystem& fs, NodeId id, NodeId parent, std::string_view name) {
  LAYERFS_TRY_ASSIGN(tree::Node * node, find_node(fs, id));
  LAYERFS_TRY_ASSIGN(tree::Node * dir, find_dir(fs, parent));
  LAYERFS_TRY_ASSIGN(tree::Found found, fs.tree->link(*node, *dir, name));
  return entry_of(fs, found);
}

Result<void> unlink(FileSystem& fs, NodeId parent, std::string_view name) {
  fs.tree->removed_fds().wait();
  LAYERFS_TRY_ASSIGN(tree::Node * dir, find_dir(fs, parent));
  return fs.tree->unlink(*dir, name);
}

Result<void> rmdir(FileSystem& fs, NodeId parent, std::string_view name) {
  fs.tree->removed_fds().wait();
  LAYERFS_TRY_ASSIGN(tree::Node * dir, find_dir(fs, parent));
  return fs.tree->rmdir(*dir, name);
}

Result<void> rename(FileSystem& fs, NodeId parent, std::string_view name, NodeId new_parent,
                    std::string_view new_name, unsigned flags) {
  fs.tree->removed_fds().wait();
  LAYERFS_TRY_ASSIGN(tree::Node * from, find_dir(fs, parent));
  LAYERFS_TRY_ASSIGN(tree::Node * to, find_dir(fs, new_parent));
  return fs.tree->rename(*from, name, *to, new_name, flags);
}

}  // namespace layerfs::op
