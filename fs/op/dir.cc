#include "fs/op/dir.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include "fs/op/file_system_state.h"
#include "fs/sys/file.h"

namespace layerfs::op {
namespace {

// Below all that a name's hash can be (layer::kFirstNameHash).
constexpr std::uint64_t kSelfCookie = 1;
constexpr std::uint64_t kParentCookie = 2;

// "." and ".." if they are behind `cookie`; false if the sink is full.
bool list_dots(const tree::Node& dir, std::uint64_t cookie, const DirPlusSink& sink) {
  const tree::Node* parent = dir.parent.load();
  const ino_t above = parent == nullptr ? dir.ino : parent->ino;
  auto dot = [&](std::string_view name, ino_t ino, std::uint64_t own) {
    Entry entry;
    entry.attr.st_ino = ino;
    entry.attr.st_mode = S_IFDIR;
    return cookie >= own || sink({name, ino, DT_DIR, own}, entry);
  };
  return dot(".", dir.ino, kSelfCookie) && dot("..", above, kParentCookie);
}

}  // namespace

Result<void> readdir(FileSystem& fs, NodeId id, std::uint64_t cookie, const DirSink& sink) {
  LAYERFS_TRY_ASSIGN(tree::Node * dir, find_dir(fs, id));
  auto shape = fs.tree->enter();
  if (!list_dots(*dir, cookie, [&](const DirEntry& entry, const Entry&) { return sink(entry); }))
    return {};
  return fs.tree->list(shape, *dir, std::max(cookie, kParentCookie), [&](const tree::Listing& l) {
    return sink({l.name, l.ino, l.type, l.cookie});
  });
}

Result<void> readdirplus(FileSystem& fs, NodeId id, std::uint64_t cookie, ListedAttr wanted,
                         const DirPlusSink& sink) {
  LAYERFS_TRY_ASSIGN(tree::Node * dir, find_dir(fs, id));
  auto shape = fs.tree->enter();
  if (!list_dots(*dir, cookie, sink)) return {};
  return fs.tree->list(shape, *dir, std::max(cookie, kParentCookie), [&](const tree::Listing& l) {
    if (wanted == ListedAttr::kButOfFiles && l.type == DT_REG)
      return sink({l.name, l.ino, l.type, l.cookie}, Entry{});
    auto found = fs.tree->child(shape, *dir, l.name);
    Entry entry = found ? entry_of(fs, *found) : Entry{};
    if (!found) entry.attr.st_ino = l.ino;
    const bool taken = sink({l.name, entry.attr.st_ino, l.type, l.cookie}, entry);
    if (!taken && found) fs.tree->forget(shape, *found->node, 1);
    return taken;
  });
}

Result<void> fsyncdir(FileSystem& fs, NodeId id, bool data_only) {
  LAYERFS_TRY_ASSIGN(tree::Node * dir, find_dir(fs, id));
  if (fs.is_volatile() || !dir->has(tree::Node::kUpper)) return {};
  sys::UniqueFd fd;
  {
    auto shape = fs.tree->enter();
    LAYERFS_TRY_ASSIGN(tree::FdRef path, fs.tree->upper_dir(shape, *dir));
    LAYERFS_TRY_ASSIGN(fd, sys::open_beneath(path->get(), "", O_RDONLY | O_DIRECTORY));
  }
  if ((data_only ? ::fdatasync(fd.get()) : ::fsync(fd.get())) != 0) return fail(Errno::last());
  return {};
}

}  // namespace layerfs::op
