// The objects of the merged tree.
#pragma once

#include <sys/stat.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <shared_mutex>
#include <vector>

#include <absl/container/btree_map.h>

#include "fs/tree/locks.h"
#include "fs/tree/lower_dir.h"
#include "fs/tree/name.h"

namespace layerfs::tree {

class Node;

using NodeId = std::uint64_t;
inline constexpr NodeId kRootNode = 1;

// One name of a merged directory.
struct Entry {
  static constexpr std::uint16_t kInUpper = 0xffff;

  // The node whose place this is, if it is known; else null.
  Node* node() const { return known_ ? node_ : nullptr; }
  // d_ino; 0 where only the node can tell.
  ino_t ino() const;
  void set_node(Node& node) {
    node_ = &node;
    known_ = true;
  }
  // There is no node any more.
  void set_ino(ino_t ino) {
    ino_ = ino;
    known_ = false;
  }

  Name name;
  // Where the name is found first: kInUpper or a position in Directory::lowers.
  std::uint16_t top = 0;
  unsigned char type = 0;  // DT_*
  // The upper hides the name; nothing is there. Kept to know what a creation has to replace.
  bool whiteout : 1 = false;
  // A lower layer would show the name, were it not for the upper: removing it needs a whiteout.
  bool lower_below : 1 = false;

 private:
  // A node knows its number: one of both suffices.
  bool known_ : 1 = false;
  union {
    ino_t ino_ = 0;
    Node* node_;
  };
};

// What a directory shows, merged once, then kept up to date by the operations of this mount.
struct Directory {
  // Guards all below, and the places (Node::parent, name) of the nodes whose parent this is,
  // against all but who has the exclusive ShapeLock.
  std::shared_mutex mutex;
  // Under the name's hash, or another key where other names have that (directory.cc): the key is
  // the cookie of a listing.
  absl::btree_map<std::uint64_t, Entry> entries;
  // The lower directories that show through, topmost first. Immutable.
  LowerDirs lowers;
  // How many keys an entry may have to be looked for under, beside its hash.
  std::uint32_t max_shift = 0;
  bool loaded = false;
  std::atomic<bool> impure{false};  // the upper directory carries overlay.impure
  // Whether creations in it inherit a default ACL instead of obeying the umask.
  enum class DefaultAcl : unsigned char { kUnknown, kNo, kYes };
  std::atomic<DefaultAcl> default_acl{DefaultAcl::kUnknown};

  // Null if there is no such name; an entry may be a whiteout.
  Entry* find(std::string_view name);
  // The entry of `name`, made if it is not there.
  Entry& insert(std::string_view name);
  void erase(const Entry& entry);
  // Gives back the room that many insertions have left; all entries move.
  void pack();
  void clear();

  // Of a directory found in more than one layer: the positions in `lowers` that merge in it below
  // the layer where it is found first, topmost first. Empty if there were none.
  std::vector<std::uint16_t>& merge_below(const Entry& entry);
  const std::vector<std::uint16_t>* merging_below(const Entry& entry) const;
  void merge_nothing_below(const Entry& entry);
  std::uint64_t key_of(const Entry& entry) const;

 private:
  using Merged = absl::btree_map<std::uint64_t, std::vector<std::uint16_t>>;
  std::unique_ptr<Merged> merged_;  // by the entries' keys; null: few have any
};

// One inode of the merged tree. Lives as long as the kernel knows it (lookups), something inside
// holds it (pins: its children, running operations, open files), or it is the root.
class Node {
 public:
  enum Flag : std::uint16_t {
    kUpper = 1,          // the upper has the inode
    kMetacopy = 2,       // but its data is still that of `lower`
    kDetached = 4,       // not found by parent and name: removed, without a place, or superseded
    kIndexed = 8,        // copied up from a lower inode with several links: also in the index
    kSuperseded = 16,    // another node (Successors) has its place; only what was open goes on here
    kHardLink = 32,      // registered in HardLinks
    kLowerNames = 64,    // HardLinks remembers names that are not in the upper
    kMayBeMapped = 128,  // the kernel may write to it through a mapping and not tell
    kImmutable = 512,    // marks of chattr(1), see protection.cc
    kAppendOnly = 1024,
    kProtectionKnown = 2048,  // these two are right though the inode is a lower one
    kNoCapability = 4096,     // made by this mount, and never given a security.capability
    kLowerBirthTold = 8192,   // the kernel keeps the birth time of the lower inode
  };

  Node(NodeId id_, ino_t ino_, mode_t type_)
      : id(id_), ino(ino_), type(static_cast<std::uint16_t>(type_ & S_IFMT)) {
    if (is_dir())
      std::construct_at(&dir, std::make_unique<Directory>());
    else
      std::construct_at(&lower);
  }
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;
  ~Node() {
    if (is_dir())
      std::destroy_at(&dir);
    else
      std::destroy_at(&lower);
  }

  bool has(Flag flag) const { return (flags.load(std::memory_order_acquire) & flag) != 0; }
  // One flag or several.
  void set(unsigned which) {
    flags.fetch_or(static_cast<std::uint16_t>(which), std::memory_order_acq_rel);
  }
  void clear(Flag flag) {
    flags.fetch_and(static_cast<std::uint16_t>(~unsigned{flag}), std::memory_order_acq_rel);
  }
  bool is_dir() const { return S_ISDIR(type); }
  // Whether the inode may have names, though the node has no place.
  bool is_unplaced() const { return has(kDetached) && parent.load() == nullptr; }

  NodeId id;  // does not change once the node is in the table
  // st_ino: the same before and after copy-up, unless that breaks a hard link. Written before the
  // node is in the table, or under the parent's exclusive mutex.
  std::atomic<ino_t> ino;
  const std::uint16_t type;  // S_IFMT
  std::atomic<std::uint16_t> flags{0};
  std::atomic<std::uint32_t> pins{0};
  std::atomic<std::uint64_t> lookups{0};
  CopyUpLock copy_up_lock;

  // The place, one of the names of the inode. It changes under the exclusive ShapeLock; a node
  // without any, which is kDetached and in Unplaced, may get one with the lock shared, under the
  // mutex of what becomes `parent`. `parent` stays set (and pinned) when the inode has lost its
  // last name; null for the root and for what has names that are not known, or never had one.
  std::atomic<Node*> parent{nullptr};
  Name name;

  union {
    LowerFile lower;                 // of a non-directory: where the lower inode is; immutable
    std::unique_ptr<Directory> dir;  // of a directory; never null
  };
};
// There is one per inode that the kernel knows: 72 bytes are what malloc gives in a block of 80.
static_assert(sizeof(Node) == 72);

static_assert(sizeof(Entry) == 24);

inline ino_t Entry::ino() const { return known_ ? node_->ino.load() : ino_; }

}  // namespace layerfs::tree
