#include "fs/op/file_system.h"

#include <unistd.h>

#include "fs/op/file_system_state.h"
#include "fs/sys/credentials.h"

namespace layerfs::op {

void FileSystemDeleter::operator()(FileSystem* fs) const noexcept { delete fs; }

Outcome<FileSystemPtr> open_file_system(const StackOptions& options) {
  sys::keep_capabilities_over_id_change();
  LAYERFS_TRY_ASSIGN(std::unique_ptr<tree::Tree> tree, tree::Tree::open(options));
  return FileSystemPtr(new FileSystem(std::move(tree), options));
}

void set_backing(FileSystem& fs, Backing* backing) { fs.open_files.set_backing(backing); }

bool may_have_xattrs(const FileSystem& fs) { return fs.tree->stack().may_have_xattrs(); }

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

Entry entry_of(const FileSystem& fs, const tree::Found& found) {
  return Entry{found.node->id, fs.ids.shown(found.attr),
               !found.node->has(tree::Node::kMayBeMapped)};
}

Result<tree::NewObject> new_object(const FileSystem& fs, const Caller& caller, mode_t mode) {
  const IdMaps& ids = fs.ids;
  const auto uid = ids.users.squashes() ? ::geteuid() : ids.users.stored(caller.uid);
  const auto gid = ids.groups.squashes() ? ::getegid() : ids.groups.stored(caller.gid);
  // chown(2) takes an unknown id for "leave it", and the object would stay the daemon's.
  constexpr auto kUnknown = static_cast<std::uint32_t>(-1);
  if (!uid || !gid || *uid == kUnknown || *gid == kUnknown) return fail(EOVERFLOW);
  tree::NewObject object;
  object.mode = mode;
  object.uid = *uid;
  object.gid = *gid;
  object.umask = caller.umask;
  return object;
}

}  // namespace layerfs::op
