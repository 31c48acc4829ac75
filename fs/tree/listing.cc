#include "fs/tree/tree.h"

namespace layerfs::tree {
namespace {

constexpr std::size_t kBatch = 128;

struct Item {
  std::uint64_t key;
  Name name;
  ino_t ino;
  unsigned char type;
};

// Entries behind `cookie`, copied so that the sink runs without the directory's lock.
std::vector<Item> batch(Directory& dir, std::uint64_t cookie) {
  std::vector<Item> items;
  items.reserve(kBatch);
  std::shared_lock lock(dir.mutex);
  for (auto it = dir.entries.upper_bound(cookie); it != dir.entries.end(); ++it) {
    const Entry& entry = it->second;
    if (entry.whiteout) continue;
    items.push_back({it->first, entry.name, entry.ino(), entry.type});
    if (items.size() == kBatch) break;
  }
  return items;
}

// Whether a lookup failed for what the object is, rather than for want of a resource.
bool is_of_object(Errno error) { return layer::is_fault(error) || error == Errno(EINVAL); }

}  // namespace

Result<void> Tree::list(const ShapeToken& shape, Node& dir, std::uint64_t cookie,
                        const std::function<bool(const Listing&)>& sink) {
  LAYERFS_TRY(ensure_loaded(shape, dir));
  for (;;) {
    const std::vector<Item> items = batch(*dir.dir, cookie);
    for (const Item& item : items) {
      ino_t ino = item.ino;
      if (ino == 0) {
        auto found = child(shape, dir, item.name.view());
        if (!found && found.error() == Errno(ENOENT)) continue;  // removed since the batch
        if (!found && !is_of_object(found.error())) return fail(found.error());
        // One broken object must not hide the others. It has no st_ino, since it cannot be looked
        // up, so any number will do that is not 0, which means that there is no entry.
        ino = found ? found->attr.st_ino : static_cast<ino_t>(item.key);
        if (found) forget(shape, *found->node, 1);
      }
      if (!sink({item.name.view(), ino, item.type, item.key})) return {};
    }
    if (items.size() < kBatch) return {};
    cookie = items.back().key;
  }
}

}  // namespace layerfs::tree
