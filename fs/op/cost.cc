#include "fs/op/cost.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>

#include <algorithm>
#include <array>

#include "fs/op/file_system_state.h"

namespace layerfs::op {
namespace {

// Copying so much takes about as long as waking another thread.
constexpr off_t kMuch = 64 << 10;

// 9p, AFS, Ceph, SMB, Coda, FUSE and NFS; what lies above one of them is not known.
bool may_sleep(int fd) {
  constexpr std::array<unsigned long, 9> kServed = {
      V9FS_MAGIC,       AFS_FS_MAGIC,     AFS_SUPER_MAGIC,  CEPH_SUPER_MAGIC, CIFS_SUPER_MAGIC,
      SMB2_SUPER_MAGIC, CODA_SUPER_MAGIC, FUSE_SUPER_MAGIC, NFS_SUPER_MAGIC};
  struct statfs about;
  if (::fstatfs(fd, &about) != 0) return true;
  return std::ranges::find(kServed, static_cast<unsigned long>(about.f_type)) != kServed.end();
}

bool copies_much(FileSystem& fs, NodeId id, off_t limit) {
  tree::Node* node = fs.tree->node(id);
  if (node == nullptr || !S_ISREG(node->type) || fs.read_only()) return false;
  if (tree::Tree::has_upper_data(*node) || limit < kMuch) return false;
  auto shape = fs.tree->enter();
  const auto attr = fs.tree->attr(shape, *node);
  return attr && std::min(attr->st_size, limit) >= kMuch;
}

}  // namespace

bool open_copies_much(FileSystem& fs, NodeId node, int flags) {
  if ((flags & O_ACCMODE) == O_RDONLY || (flags & O_TRUNC) != 0) return false;
  return copies_much(fs, node, tree::CopyUpDepth::kWhole);
}

bool change_copies_much(FileSystem& fs, NodeId node, std::optional<off_t> size) {
  if (!size && fs.tree->stack().options().metacopy) return false;
  return copies_much(fs, node, size.value_or(tree::CopyUpDepth::kWhole));
}

bool layers_may_sleep(const FileSystem& fs) {
  const tree::Stack& stack = fs.tree->stack();
  return (fs.tree->upper() != nullptr && may_sleep(fs.tree->upper()->root.get())) ||
         std::ranges::any_of(stack.roots(),
                             [](const auto& dir) { return may_sleep(dir->layer->root()); }) ||
         stack.data_only().any_root(may_sleep);
}

bool removal_waits(const FileSystem& fs) { return fs.tree->removed_fds().are_many(); }

}  // namespace layerfs::op
