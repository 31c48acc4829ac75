#include "fs/op/file.h"

#include <fcntl.h>
#include <unistd.h>

#include "fs/op/file_system_state.h"
#include "fs/op/lookup.h"
#include "fs/op/privileges.h"
#include "fs/op/protection.h"
#include "fs/sys/file.h"

namespace layerfs::op {
namespace {

Result<void> truncate_to_zero(FileSystem& fs, tree::Node& node) {
  auto shape = fs.tree->enter();
  LAYERFS_TRY_ASSIGN(tree::Place place, fs.tree->place(shape, node));
  return sys::truncate_at(place.at(), 0);
}

Result<Created> open_created(FileSystem& fs, const tree::Found& found, int flags,
                             sys::UniqueFd fd) {
  auto opened = fs.open_files.acquire(*found.node, flags, Walk::kMayBeRepeated, std::move(fd));
  if (!opened) {
    forget(fs, found.node->id, 1);
    return fail(opened.error());
  }
  return Created{entry_of(fs, found), *opened};
}

Result<Opened> open_as(FileSystem& fs, NodeId id, int flags, Walk walk) {
  tree::Node* node = fs.tree->exact_node(id);
  if (node == nullptr) return fail(ESTALE);
  if (node->has(tree::Node::kSuperseded) && walk == Walk::kMayBeRepeated) return fail(ESTALE);
  const bool truncate = (flags & O_TRUNC) != 0;
  const bool lasted = attr_lasts(*node);
  if (opens_for_writing(flags)) {
    LAYERFS_TRY(allow_open(fs, *node, flags));
    tree::CopyUpDepth depth = tree::CopyUpDepth::whole();
    if (truncate) depth.limit = 0;
    LAYERFS_TRY(fs.tree->copy_up(*node, depth));
  }
  LAYERFS_TRY_ASSIGN(Opened opened, fs.open_files.acquire(*node, flags, walk));
  if (truncate) {
    if (auto done = truncate_to_zero(fs, *node); !done) {
      fs.open_files.release(*node);
      return fail(done.error());
    }
  }
  if (lasted && !attr_lasts(*node)) opened.ends_attr = true;
  return opened;
}

// The name was there when the kernel asked to create it: an open, unless O_EXCL was given.
Result<Created> open_existing(FileSystem& fs, NodeId parent, std::string_view name, int flags) {
  if ((flags & O_EXCL) != 0) return fail(EEXIST);
  LAYERFS_TRY_ASSIGN(Entry entry, lookup(fs, parent, name));
  auto opened = open_as(fs, entry.node, flags, Walk::kMayBeRepeated);
  if (!opened) {
    forget(fs, entry.node, 1);
    return fail(opened.error());
  }
  return Created{entry, *opened};
}

Result<void> sync(int fd, bool data_only) {
  if ((data_only ? ::fdatasync(fd) : ::fsync(fd)) != 0) return fail(Errno::last());
  return {};
}

}  // namespace

Result<Opened> open(FileSystem& fs, NodeId id, int flags, pid_t thread) {
  const Walk walk = fs.refusals.take(thread, id) ? Walk::kCannotBeRepeated : Walk::kMayBeRepeated;
  auto opened = open_as(fs, id, flags, walk);
  if (!opened && opened.error() == Errno(ESTALE) && walk == Walk::kMayBeRepeated)
    fs.refusals.add(thread, id);
  return opened;
}

Result<Created> create(FileSystem& fs, const Caller& caller, NodeId parent, std::string_view name,
                       mode_t mode, int flags) {
  LAYERFS_TRY_ASSIGN(tree::Node * dir, find_dir(fs, parent));
  LAYERFS_TRY_ASSIGN(const auto object, new_object(fs, caller, S_IFREG | (mode & 07777)));
  sys::UniqueFd fd;
  auto found = fs.tree->create(*dir, name, object, &fd);
  if (!found && found.error() == Errno(EEXIST)) return open_existing(fs, parent, name, flags);
  if (!found) return fail(found.error());
  return open_created(fs, *found, flags, std::move(fd));
}

Result<Created> tmpfile(FileSystem& fs, const Caller& caller, NodeId parent, mode_t mode,
                        int flags) {
  LAYERFS_TRY_ASSIGN(tree::Node * dir, find_dir(fs, parent));
  LAYERFS_TRY_ASSIGN(const auto object, new_object(fs, caller, S_IFREG | (mode & 07777)));
  sys::UniqueFd fd;
  LAYERFS_TRY_ASSIGN(tree::Found found, fs.tree->create_unnamed(*dir, object, fd));
  return open_created(fs, found, flags, std::move(fd));
}

void release(FileSystem& fs, NodeId id, HandleId) noexcept {
  tree::Node* node = fs.tree->exact_node(id);
  if (node == nullptr) return;
  fs.open_files.release(*node);
  if (fs.tree->exact_node(id) == nullptr) fs.open_files.forget(id);
}

Result<void> fsync(FileSystem& fs, NodeId id, HandleId, bool data_only) {
  LAYERFS_TRY_ASSIGN(tree::Node * node, find_node(fs, id));
  if (fs.is_volatile() || !node->has(tree::Node::kUpper)) return {};
  if (tree::Tree::has_upper_data(*node)) {
    LAYERFS_TRY_ASSIGN(DataFd data, fs.open_files.data(*node));
    return sync(data->get(), data_only);
  }
  // What was changed is in the upper, though the data is not.
  sys::UniqueFd metadata;
  {
    auto shape = fs.tree->enter();
    LAYERFS_TRY_ASSIGN(tree::Place place, fs.tree->place(shape, *node));
    LAYERFS_TRY_ASSIGN(metadata, place.open(O_RDONLY));
  }
  return sync(metadata.get(), data_only);
}

Result<void> syncfs(FileSystem& fs) {
  if (fs.is_volatile() || fs.read_only()) return {};
  LAYERFS_TRY_ASSIGN(sys::UniqueFd fd,
                     sys::open_beneath(fs.tree->upper()->root.get(), "", O_RDONLY | O_DIRECTORY));
  if (::syncfs(fd.get()) != 0) return fail(Errno::last());
  return {};
}

}  // namespace layerfs::op
