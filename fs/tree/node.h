// The objects of the merged tree.
#pragma once

#include <sys/stat.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <shared_mutex>
#include <vector>

#include <absl/container/btree_map.h>

#include "fs/sys/unique_fd.h"
#include "fs/tree/locks.h"
#include "fs/tree/lower_dir.h"
#include "fs/tree/name.h"
#include "fs/tree/open_file.h"

namespace layerfs::tree {

class Node;

using NodeId = std::uint64_t;
inline constexpr NodeId kRootNode = 1;

// One name of a merged directory.
struct Entry {
  static constexpr std::uint16_t kInUpper = 0xffff;

  Name name;
  Node* node = nullptr;  // the node whose place this is, if it is known; else null
  ino_t ino = 0;         // d_ino; 0 where only the node can tell
  // Where the name is found first: kInUpper or a position in Directory::lowers.
  std::uint16_t top = 0;
  unsigned char type = 0;  // DT_*
  // The upper hides the name; nothing is there. Kept to know what a creation has to replace.
  bool whiteout = false;
  // A lower layer would show the name, were it not for the upper: removing it needs a whiteout.
  bool lower_below = false;
};

// What a directory shows, merged once, then kept up to date by the operations of this mount.
struct Directory {
  // Guards all below, and the places (Node::parent, name) of the nodes whose parent this is,
  // against all but who has the exclusive ShapeLock.
  std::shared_mutex mutex;
  bool loaded = false;
  // Under the name's hash, or the next free key behind it when hashes collide: the key is the
  // cookie of a listing.
  absl::btree_map<std::uint64_t, Entry> entries;
  // How far behind its hash an entry may stand.
  std::uint64_t max_shift = 0;
  // For directories found in more than one layer: key -> positions in `lowers` that merge, topmost
  // first.
  absl::btree_map<std::uint64_t, std::vector<std::uint16_t>> merged;
  // The lower directories that show through, topmost first. Immutable.
  std::vector<LowerDirPtr> lowers;
  std::atomic<bool> impure{false};  // the upper directory carries overlay.impure
  // Whether creations in it inherit a default ACL instead of obeying the umask.
  enum class DefaultAcl : unsigned char { kUnknown, kNo, kYes };
  std::atomic<DefaultAcl> default_acl{DefaultAcl::kUnknown};

  // Null if there is no such name; an entry may be a whiteout.
  Entry* find(std::string_view name);
  // The entry of `name`, made if it is not there.
  Entry& insert(std::string_view name);
  void erase(const Entry& entry);
  std::uint64_t key_of(const Entry& entry) const;
};

// One inode of the merged tree. Lives as long as the kernel knows it (lookups), something inside
// holds it (pins: its children, running operations, open files), or it is the root.
class Node {
 public:
  enum Flag : std::uint32_t {
    kUpper = 1,        // the upper has the inode
    kMetacopy = 2,     // but its data is still that of `lower`
    kDetached = 4,     // no longer found by parent and name: removed, unnamed, or its name moved on
    kIndexed = 8,      // copied up from a lower inode with several links: also in the index
    kSuperseded = 16,  // `successor` has its place; only what was open goes on here
    kHardLink = 32,    // registered in HardLinks
    kLowerNames = 64,  // HardLinks remembers names that are not in the upper
    kMayBeMapped = 128,  // the kernel may write to it through a mapping and not tell
  };

  Node(NodeId id_, ino_t ino_, mode_t type_) : id(id_), ino(ino_), type(type_ & S_IFMT) {}

  bool has(Flag flag) const { return (flags.load(std::memory_order_acquire) & flag) != 0; }
  void set(Flag flag) { flags.fetch_or(flag, std::memory_order_acq_rel); }
  void clear(Flag flag) { flags.fetch_and(~std::uint32_t{flag}, std::memory_order_acq_rel); }
  bool is_dir() const { return S_ISDIR(type); }

  const NodeId id;
  const ino_t ino;  // st_ino, the same before and after copy-up
  const mode_t type;
  std::atomic<std::uint32_t> flags{0};
  std::atomic<std::uint32_t> pins{0};
  std::atomic<std::uint64_t> lookups{0};
  CopyUpLock copy_up_lock;

  // The place: written under the exclusive ShapeLock, or with it shared under parent's mutex.
  // `parent` stays set (and pinned) when the node is detached; null for the root and for what never
  // had a name.
  std::atomic<Node*> parent{nullptr};
  Name name;

  // Of a non-directory: where the lower inode is. Immutable.
  LowerFile lower;
  // Of a directory. Never null then.
  std::unique_ptr<Directory> dir;
  // With kDetached and kUpper: the inode itself (O_PATH or open). Written once, before the flag; it
  // stays when the node gets a name (O_TMPFILE), for others may be using it.
  sys::UniqueFd detached_fd;
  // With kSuperseded: pinned.
  Node* successor = nullptr;
  // Null while it is not open. Guarded by op::OpenFiles.
  std::unique_ptr<OpenFile> open;
};

}  // namespace layerfs::tree
