#include "fs/op/file_system.h"

#include <unistd.h>

#include "fs/op/file_system_state.h"
#include "fs/sys/credentials.h"
#include "fs/sys/user_namespace.h"

namespace layerfs::op {
namespace {

struct NewOwner {
  std::uint32_t id;
  bool is_caller;
};

Result<NewOwner> owner_of_new(const IdMap& map, std::uint32_t caller, std::uint32_t daemon,
                              const std::optional<std::uint32_t>& nobody) {
  if (map.squashes()) return NewOwner{daemon, map.shown(daemon) == caller};
  // The kernel tells no ids where an idmapped mount does not know the caller.
  if (caller == static_cast<std::uint32_t>(-1)) return fail(EOVERFLOW);
  if (const auto stored = map.stored(caller)) return NewOwner{*stored, true};
  if (!nobody) return fail(EOVERFLOW);
  return NewOwner{*nobody, false};
}

}  // namespace

Nobody nobody_of(const tree::Tree& tree, const IdMaps& ids) {
  if (tree.upper() == nullptr) return {};
  if (!tree.upper()->records.any() && !sys::may_create_as_others()) return {};
  return {ids.users.nobody(sys::namespace_users()), ids.groups.nobody(sys::namespace_groups())};
}

void FileSystemDeleter::operator()(FileSystem* fs) const noexcept { delete fs; }

Outcome<FileSystemPtr> open_file_system(const StackOptions& options) {
  sys::keep_capabilities_over_id_change();
  LAYERFS_TRY_ASSIGN(std::unique_ptr<tree::Tree> tree, tree::Tree::open(options));
  return FileSystemPtr(new FileSystem(std::move(tree), options));
}

void set_backing(FileSystem& fs, Backing* backing) { fs.open_files.set_backing(backing); }

std::size_t known_inodes(const FileSystem& fs) { return fs.tree->node_count(); }

std::vector<NodeId> idle_inodes(const FileSystem& fs) { return fs.tree->only_looked_up(); }

void watch_inodes(FileSystem& fs, std::size_t most, std::function<void()> crowded) {
  fs.tree->watch_nodes(most, std::move(crowded));
}

void announce_end(const FileSystem& fs) noexcept {
  if (const tree::Upper* upper = fs.tree->upper()) upper->work->announce_end();
}

void rest(const FileSystem& fs) noexcept {
  for (const auto& root : fs.tree->stack().roots()) {
    if (const layer::Index* index = root->layer->index()) index->rest();
  }
}

bool lies_on_stacked(const FileSystem& fs) { return fs.tree->stack().lies_on_stacked(); }

bool is_read_only(const FileSystem& fs) { return fs.read_only(); }

Result<tree::Node*> find_node(FileSystem& fs, NodeId id) {
  tree::Node* node = fs.tree->node(id);
  if (node == nullptr) return fail(ESTALE);
  return node;
}

Result<tree::Node*> find_dir(FileSystem& fs, NodeId id) {
  LAYERFS_TRY_ASSIGN(tree::Node * node, find_node(fs, id));
  if (!node->is_dir()) return fail(ENOTDIR);
  return node;
}

bool attr_lasts(const tree::Node& node) {
  if (node.has(tree::Node::kMayBeMapped)) return false;
  return !(node.has(tree::Node::kLowerBirthTold) && node.has(tree::Node::kUpper));
}

Entry entry_of(const FileSystem& fs, const tree::Found& found) {
  const NodeId id = found.node->id;
  return Entry{id, fs.ids.shown(found.attr), attr_lasts(*found.node),
               id == kRootNode ? 0 : fs.generation};
}

Result<tree::NewObject> new_object(const FileSystem& fs, const Caller& caller, mode_t mode) {
  LAYERFS_TRY_ASSIGN(const NewOwner user,
                     owner_of_new(fs.ids.users, caller.uid, ::geteuid(), fs.nobody.user));
  LAYERFS_TRY_ASSIGN(const NewOwner group,
                     owner_of_new(fs.ids.groups, caller.gid, ::getegid(), fs.nobody.group));
  tree::NewObject object;
  object.mode = mode;
  if (!S_ISDIR(mode) && !user.is_caller) object.mode &= ~mode_t{S_ISUID};
  if (!S_ISDIR(mode) && !group.is_caller) object.mode &= ~mode_t{S_ISGID};
  object.uid = user.id;
  object.gid = group.id;
  object.umask = caller.umask;
  return object;
}

}  // namespace layerfs::op
