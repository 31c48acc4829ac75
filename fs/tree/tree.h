// The merged tree: names to nodes, nodes to inodes of layers, and all that changes them.
#pragma once

#include <sys/stat.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "fs/layer/dir_marks.h"
#include "fs/layer/marks.h"
#include "fs/sys/result.h"
#include "fs/tree/dir_fds.h"
#include "fs/tree/forgotten.h"
#include "fs/tree/hard_links.h"
#include "fs/tree/locks.h"
#include "fs/tree/node.h"
#include "fs/tree/node_table.h"
#include "fs/tree/other_names.h"
#include "fs/tree/stack.h"
#include "fs/tree/successors.h"
#include "fs/tree/unplaced.h"

namespace layerfs::tree {

class Merge;

// Returns `error`, for which the data of the metacopy `at` cannot be reached. If it is a fault of a
// layer, tells `reporter`, that of the layer of the metacopy.
tl::unexpected<Errno> data_lost(const layer::Reporter& reporter, const sys::At& at, Errno error);
// Refuses, with EPERM, what leads elsewhere by a mark that is not to be followed here.
tl::unexpected<Errno> not_followed(const layer::Reporter& reporter, const sys::At& at);

// A node that a lookup found, with its attributes as the union shows them. The lookup is counted.
struct Found {
  Node* node = nullptr;
  struct stat attr = {};
};

// What the metadata of a node can be reached by, for a few system calls: either a descriptor of
// the inode, or a directory and a name that stay true while the Place lives (it holds the parent's
// entries shared). Not for symlinks to be followed: use fd() with AT_EMPTY_PATH or dirfd()/name()
// with AT_SYMLINK_NOFOLLOW; at() is for what fs/sys has in that form, while the place lives.
class Place {
 public:
  Place(FdRef fd, std::shared_lock<std::shared_mutex> lock, Name name)
      : ref_(std::move(fd)), fd_(ref_->get()), lock_(std::move(lock)), name_(std::move(name)) {}
  explicit Place(FdRef fd) : ref_(std::move(fd)), fd_(ref_->get()) {}
  explicit Place(int borrowed) : fd_(borrowed) {}
  Place(int borrowed, Name name) : fd_(borrowed), name_(std::move(name)) {}

  // `records` of the layer that the inode is in, which outlive the place.
  Place recorded_in(const layer::OwnerRecords& records) && {
    records_ = &records;
    return std::move(*this);
  }

  // As the union shows it; owner and mode of a recorded file come from its record, and changes of
  // them go there.
  Result<struct stat> stat() const;
  sys::At at() const;
  // The same, with the owner that is stored where another is shown.
  Result<struct stat> stored_stat() const;
  // (uid_t)-1 and (gid_t)-1 change nothing. Clears setuid, setgid and capabilities as chown(2).
  Result<void> chown(uid_t uid, gid_t gid) const;
  // Not for symlinks.
  Result<void> chmod(mode_t mode) const;
  // After an ACL was set, which is a change of the mode, too.
  Result<void> follow_acl() const;
  // An O_PATH descriptor of the inode.
  Result<sys::UniqueFd> open_path() const;
  // Opens it, not for symlinks.
  Result<sys::UniqueFd> open(int flags) const;
  Result<std::string> readlink() const;
  Result<void> link_to(int dirfd, const char* name) const;

  int dirfd() const { return fd_; }
  const char* name() const { return name_.c_str(); }  // empty: dirfd() is the inode itself

 private:
  FdRef ref_;
  int fd_;
  std::shared_lock<std::shared_mutex> lock_;
  Name name_;
  const layer::OwnerRecords* records_ = nullptr;  // null: none

  Result<struct stat> real_stat() const;
};

// How much of a file a copy-up has to bring to the upper.
struct CopyUpDepth {
  bool data = false;     // else attributes suffice (metacopy, if the mount has it)
  off_t limit = kWhole;  // of the data, where the rest is about to be truncated away
  static constexpr off_t kWhole = INT64_MAX;
  static constexpr CopyUpDepth metadata();
  static constexpr CopyUpDepth whole();
};
constexpr CopyUpDepth CopyUpDepth::metadata() { return {}; }
constexpr CopyUpDepth CopyUpDepth::whole() { return {true, kWhole}; }

// What a new object shall be.
struct NewObject {
  mode_t mode = 0;  // with its type
  dev_t rdev = 0;
  std::string target;  // of a symlink
  uid_t uid = 0;
  gid_t gid = 0;
  mode_t umask = 0;
};

// One entry of a listing.
struct Listing {
  std::string_view name;
  ino_t ino;
  unsigned char type;
  std::uint64_t cookie;
};

// Thread-safe. Functions that take a ShapeToken are called under it; the others take it themselves
// and must be called without. Locks: fs/tree/locks.h.
class Tree {
 public:
  static Outcome<std::unique_ptr<Tree>> open(const StackOptions& options);
  ~Tree();

  const Stack& stack() const { return *stack_; }
  RemovedFds& removed_fds() { return unplaced_.descriptors(); }
  const Upper* upper() const { return stack_->upper(); }
  ShapeLock::Shared enter() { return ShapeLock::Shared(shape_); }

  // --- nodes (nodes.cc) ---
  // The node of an id, or its successor; null for an unknown id.
  Node* node(NodeId id) const;
  // The node of an id, even if superseded.
  Node* exact_node(NodeId id) const { return table_.find(id); }
  void forget(const ShapeToken& shape, Node& node, std::uint64_t lookups) noexcept;
  void pin(Node& node) noexcept { node.pins.fetch_add(1, std::memory_order_relaxed); }
  void unpin(const ShapeToken& shape, Node& node) noexcept;
  std::size_t node_count() const { return table_.size(); }
  // As NodeTable's.
  void watch_nodes(std::size_t most, std::function<void()> crowded) {
    table_.watch(most, std::move(crowded));
  }
  std::vector<NodeId> only_looked_up() const { return table_.only_looked_up(); }
  // Makes a new node take the place of `node`, which has to serve its open descriptors as it is.
  // `node` itself if it has lost its name, so that nobody can be led to another.
  Node& supersede(Node& node);

  // --- lookup (lookup.cc) ---
  // ENOENT for a name that is not there.
  Result<Found> child(const ShapeToken& shape, Node& dir, std::string_view name);
  // The node of an id that the kernel may have forgotten; ESTALE if its object is gone, or cannot
  // be found by what is remembered.
  Result<Found> recall(const ShapeToken& shape, NodeId id);

  // --- places (place.cc) ---
  Result<Place> place(const ShapeToken& shape, Node& node);
  Result<struct stat> attr(const ShapeToken& shape, Node& node);
  // The upper directory of `dir`, which has one.
  Result<FdRef> upper_dir(const ShapeToken& shape, Node& dir);
  Result<FdRef> lower_dir(const LowerDirPtr& dir);
  // Where a symlink leads.
  Result<std::string> readlink(const ShapeToken& shape, Node& node);
  // True if it is known, without asking the layer, that users see no xattrs.
  bool has_no_xattrs(const Node& node) const;
  // Whether the data of a lower file is a program or shared library, where an index tells.
  std::optional<bool> is_program(const Node& node) const;
  // The file that holds the data now: of the upper, or read-only of a lower.
  Result<sys::UniqueFd> open_data(const ShapeToken& shape, Node& node, int flags);
  // Whether the data is in the upper.
  static bool has_upper_data(const Node& node);

  // --- marks of chattr(1) (protection.cc) ---
  // What they forbid to do with the object as it is.
  Result<layer::Protattr> protection(const ShapeToken& shape, Node& node);
  // Changes that, in the upper, where `node` has to be.
  Result<void> set_protection(const ShapeToken& shape, Node& node, const layer::Protattr& wanted);

  // --- listings (listing.cc) ---
  // Entries with keys above `cookie` until `sink` says false.
  Result<void> list(const ShapeToken& shape, Node& dir, std::uint64_t cookie,
                    const std::function<bool(const Listing&)>& sink);

  // --- copy-up (copy_up.cc) ---
  // Brings the node, and before it each ancestor, to the upper. EROFS without an upper.
  Result<void> copy_up(Node& node, CopyUpDepth depth);

  // --- changes (create.cc, link.cc, remove.cc, rename.cc); directories are copied up by them ---
  // EEXIST if the name is there.
  Result<Found> create(Node& dir, std::string_view name, const NewObject& object,
                       sys::UniqueFd* opened = nullptr);
  // O_TMPFILE; `opened` is open O_RDWR.
  Result<Found> create_unnamed(Node& dir, const NewObject& object, sys::UniqueFd& opened);
  Result<Found> link(Node& node, Node& dir, std::string_view name);
  Result<void> unlink(Node& dir, std::string_view name);
  Result<void> rmdir(Node& dir, std::string_view name);
  Result<void> rename(Node& from_dir, std::string_view from, Node& to_dir, std::string_view to,
                      unsigned flags);

 private:
  friend class CopyUp;
  friend class Creation;
  friend class Link;
  friend class Rename;

  explicit Tree(std::unique_ptr<Stack> stack) : stack_(std::move(stack)) {}
  Outcome<void> make_root();

  // nodes.cc
  // The node itself unless it is superseded, which it may become at any time.
  Node& successor_of(Node& node) const;
  void drop_if_idle(const ShapeToken& shape, NodeId id) noexcept;
  // Of a node that is about to go, whose names, of which none is known, go on: true.
  bool remember_unnamed(const Node& node) noexcept;
  // The same node for whoever comes from now on, where it has no place.
  Node& supersede_unplaced(Node& node);
  std::unique_ptr<Node> make_successor(const Node& node);
  // `parent` is what was found to be the node's; false if that is not so any more.
  bool take_node(Node& node, const Node* parent, std::unique_ptr<Node>& taken,
                 std::vector<HardLinks::Alias>& aliases);
  // The same for a node below `parent`, under its exclusive mutex or the exclusive shape: if its
  // name stays, its id is remembered.
  void take_placed_node(Node& node, Node& parent, std::unique_ptr<Node>& taken,
                        std::vector<HardLinks::Alias>& aliases);

  // lookup.cc: all but known_child under the directory's exclusive mutex or the exclusive shape.
  // The node of a name if it is known, its lookup counted; null if it has to be made.
  Result<Node*> known_child(Node& dir, std::string_view name);
  // A node whose place is `entry`, with its attributes; or the one of another link to the same
  // inode, whose attributes have to be asked for without the mutex.
  struct Made {
    Node* node;
    std::optional<struct stat> attr;
  };
  Result<Made> make_node(const ShapeToken& shape, Node& dir, Entry& entry);
  // Counts a lookup, without attributes.
  Result<Made> hold_child(const ShapeToken& shape, Node& dir, std::string_view name);
  Result<Made> make_from_upper(const ShapeToken& shape, Node& dir, Entry& entry);
  Result<Made> make_from_lower(Node& dir, Entry& entry);
  struct UpperNode {
    std::unique_ptr<Node> node;
    std::optional<InodeId> indexed_for;  // with kIndexed: the lower inode that it is a copy of
  };
  Result<UpperNode> make_upper_node(Node& dir, const Entry& entry, int dirfd,
                                    const struct stat& st);
  Result<std::unique_ptr<Node>> make_lower_node(Node& dir, const Entry& entry,
                                                const struct stat& st);
  // Whether a directory with these marks may be followed to where its redirect leads, if it has
  // one.
  bool may_follow(const layer::Marks& marks) const {
    return marks.redirect.empty() || stack_->options().follow_redirects;
  }
  Result<void> find_lowers(Node& node, Node& dir, const Entry& entry, const layer::Marks& marks);
  // Gives `node`, about to get the place `entry`, the id that its object had before.
  void keep_id(Node& node, Node& dir, const Entry& entry, bool any_place);
  // Both count a lookup.
  Result<Node*> recall_unnamed(const ForgottenNode& known);
  Result<Node*> recall_node(const ShapeToken& shape, NodeId id);
  Result<Node*> recall_child(const ShapeToken& shape, Node& dir, const ForgottenNode& known);
  // Gives `node` to the table, with its place and one lookup.
  Node& adopt(std::unique_ptr<Node> node, Node& dir, Entry& entry);

  // identity.cc
  // The node that a lower name of an inode leads to which was copied up by way of another name, and
  // its inode in the upper; null if it was not. `st` are the attributes of the lower inode.
  struct Indexed {
    std::unique_ptr<Node> node;
    sys::UniqueFd fd;
  };
  Result<Indexed> make_indexed_node(const LowerFile& lower, const struct stat& st);
  // The node that another name of the lower inode `st` led to, or that its copy in the index leads
  // to, its lookup counted; null if there is none. Under HardLinks::lock_making().
  Result<Node*> find_linked_lower(Node& dir, const Entry& entry, const LowerFile& lower,
                                  const struct stat& st);
  // The lower inode of which the index says that the upper inode `st` is its copy.
  Result<std::optional<InodeId>> find_index_origin(const std::string& origin,
                                                   const struct stat& st) const;
  // What number the upper inode `st` shows, which the name `entry` led to.
  Result<ino_t> upper_number(const Node& node, Node& dir, const Entry& entry, const struct stat& st,
                             const layer::Marks& marks);
  // The number of the lower inode that an upper one was copied from; nothing if that is not
  // certain.
  Result<std::optional<ino_t>> number_of_lower_dir(const Node& node);
  Result<std::optional<ino_t>> origin_number(const Node& node, Node& dir, const Entry& entry,
                                             const layer::Marks& marks);
  // The number of an inode that was just made in the upper.
  ino_t new_number(const struct stat& st);
  // To be called before the upper inode gets a name that does not cover its origin's.
  Result<void> keep_number(const Node& node, int inode);
  // st_ino of a lower inode with these attributes. It is none that an upper inode shows, except for
  // unclaimed_number().
  ino_t lower_number(const struct stat& st) const;
  ino_t unclaimed_number(const struct stat& st) const;
  // That of an inode that is listed, or of the entry that the directory `fd` on `device` lists; 0
  // if only a lookup can tell. `shows_mounts`: as in Layer.
  ino_t listed_number(const InodeId& inode) const;
  ino_t listed_number(int fd, dev_t device, bool shows_mounts, const layer::Listed& entry) const;

  // merge.cc
  Result<void> ensure_loaded(const ShapeToken& shape, Node& dir);
  // Under its exclusive mutex or the exclusive shape.
  Result<void> load(const ShapeToken& shape, Node& dir);
  Result<void> load_upper(const ShapeToken& shape, Node& dir, Merge& merge);
  Result<void> load_lower(Directory& dir, std::uint16_t position, Merge& merge);
  // Which of `candidates`, topmost first, show in one merged directory, after opaque marks and
  // redirects. `parents` are the directories, merged too, that they were found in.
  Result<LowerDirs> merge(const LowerDirs& candidates, const LowerDirs& parents);
  // The directories called `name` in `chain`, merged; empty if the first hit is no directory.
  Result<LowerDirs> descend(const LowerDirs& chain, std::string_view name);
  // What `redirect` leads to, seen from a directory merged from `siblings`, in the layers from
  // position `first` on.
  Result<LowerDirs> follow_dir(const LowerDirs& siblings, std::size_t first,
                               std::string_view redirect);
  // The same for a file; nothing if there is none, EIO if it is not regular.
  Result<std::optional<LowerFile>> find_file(const LowerDirs& siblings, std::size_t first,
                                             std::string_view redirect);
  // The same; EIO if there is none.
  Result<LowerFile> follow_file(const LowerDirs& siblings, std::size_t first,
                                std::string_view redirect);

  // The lower directories that may merge below or in `entry`.
  LowerDirs candidates(const Directory& dir, const Entry& entry);

  // lower.cc: questions to lower layers, answered by their indexes where they have one.
  LowerDirPtr child_dir(const LowerDirPtr& dir, const Name& name);
  // st_ino and st_dev are the layer's own. A whiteout is a 0:0 device, but for those of AUFS:
  Result<struct stat> lower_stat(const LowerDirPtr& dir, const Name& name);
  // whether `dir` holds the AUFS whiteout of `name`.
  Result<bool> lower_hides(const LowerDirPtr& dir, const Name& name);
  // `more_below`: whether it is opaque matters, which AUFS needs a further look for.
  Result<layer::Marks> lower_marks(const LowerDirPtr& dir, bool more_below);
  // Of a regular file: an index tells of its metacopy and redirect marks only.
  Result<layer::Marks> lower_file_marks(const LowerFile& file);
  // Entries' ino is the union's, or 0 where only the entry's inode can tell.
  Result<void> list_lower(const LowerDirPtr& dir,
                          const std::function<Result<void>(const layer::Listed&)>& fn);
  // Of a file in the upper, as the file system below has them: as the union shows them.
  Result<struct stat> upper_attr(const sys::At& at, const struct stat& real) const;
  // Where the attributes of a node are that lies in lower layers only: the directory itself, or the
  // one that the file is in.
  const LowerDirPtr& shown_lower(const Node& node) const;
  // Of the root's `lowers`, the one that StackOptions::root_lower names.
  const LowerDirPtr& shown_root(const LowerDirs& lowers) const;
  // Attributes of a node that lies in an indexed lower layer only.
  Result<std::optional<struct stat>> indexed_attr(const Node& node) const;

  // place.cc
  // The directories that merge below `dir`, taken by itself.
  Result<LowerDirs> merged_below(const LowerDirPtr& dir);
  Result<std::string> upper_path(const Node& dir) const;
  Result<sys::UniqueFd> open_upper_dir(const Node& dir) const;
  static Result<sys::UniqueFd> open_long_path(int root, const std::string& path);
  // Where the data of a regular file is: in `file` itself, or, if that is a metacopy, in a file
  // of a layer below. EIO if that is not there, and not in a data-only layer by its redirect.
  Result<LowerData> data_of(const LowerFile& file);
  // What `open` returns; where that is EMFILE, once more after the cached directories were closed.
  template <typename Open>
  auto with_room(Open open) {
    auto fd = open();
    if (fd || fd.error() != Errno(EMFILE)) return fd;
    dir_fds_.clear();
    return open();
  }
  Result<sys::UniqueFd> open_lower_data(const LowerFile& file, int flags);
  // `st` of the layer's inode as the union shows it.
  Result<struct stat> present(Node& node, struct stat st);

  // index.cc
  // How many names the union has for the indexed upper inode `at`, whose attributes are `st`.
  // `lower` is a name of the lower inode, as far as it is known.
  Result<int> union_nlink(const sys::At& at, const struct stat& st, const LowerFile& lower);
  // Writes down that the union has `count` names for `inode`.
  void settle_nlink(int inode, int count) noexcept;
  // To be called before an indexed inode gets or loses a name that is not one of the lower's: the
  // count is then told by that of the upper inode, which changes at once.
  Result<void> settle_before_change(int inode, const LowerFile& lower);
  // Gives an indexed inode, copied from `lower`, in the upper the name that it has in the lower.
  Result<void> link_indexed(int inode, const LowerFile& lower, int dirfd, const Name& name);
  // Takes an inode without names, which something still refers to, out of the index.
  void drop_from_index(int inode) noexcept;
  // At a mount: finishes what a crash has interrupted.
  Outcome<void> recover_index();
  Result<void> recover_index_entry(const std::string& name);

  // names.cc. Where an entry is given, the caller has its directory's exclusive mutex or the
  // exclusive shape.
  struct NamePlace {
    Node* dir = nullptr;
    Entry* entry = nullptr;  // null: none
  };
  // Makes `entry`, a name of the inode, the place of `node` if it has none; else false.
  bool give_place(Node& node, Node& dir, Entry& entry);
  // The name `entry`, whose inode has the attributes `st`, has led to `node`: it becomes its place
  // if there is none, else it is remembered.
  void note_name(Node& node, Node& dir, Entry& entry, const struct stat& st);
  // The name is about to go, or to lead to something else.
  void drop_name(Node& node, Node& dir, const Entry& entry);
  // How many names the union has for an inode of the upper when `at`, with attributes `st`, is
  // gone.
  Result<int> names_left(const sys::At& at, const struct stat& st, const Node& node);
  // A name that is remembered of `node`, and is one of the inode whose attributes are `st`.
  Result<NamePlace> find_other_name(const ShapeToken& shape, const Node& node,
                                    const struct stat& st);
  // Before the place `entry` of `node` goes: if the inode has other names, the place becomes one
  // that is known, or none. Returns the directory to be unpinned, or null.
  Result<Node*> move_place(const ShapeLock::Exclusive& lock, Node& dir, Entry& entry, Node& node);
  // The same with its own lock, if the place of `node` is `name` in `dir`.
  Result<void> leave_place(Node& dir, std::string_view name, Node& node);
  Result<sys::UniqueFd> open_to_keep(int dirfd, const char* name);
  // Before `entry` goes: if it is the last name of `node`, it is reached by a descriptor from then
  // on. EAGAIN if it is the place of a node with other names, see move_place(). EMFILE if there is
  // no descriptor.
  Result<void> keep_reachable(Node& node, const Entry& entry, int dirfd);
  // After that, if the name has stayed.
  void stay_reachable(Node& node) noexcept;

  // remove.cc
  Result<void> remove_child_dir(const ShapeToken& shape, Node& dir, std::string_view name,
                                Node& child);
  // EAGAIN: somebody changed one of its names meanwhile.
  Result<void> unlink_once(Node& dir, std::string_view name);
  Result<void> prepare_unlink(Node& dir, std::string_view name, Node& child);
  Result<void> remove_file(const ShapeToken& shape, Node& dir, std::string_view name, Node& child);
  // Brings the name to the upper if the inode is there already by way of another lower name: what
  // then takes it away counts for that inode.
  Result<void> bring_indexed_name(Node& dir, Entry& entry, int dirfd);
  // `child` is what the name leads to, its place or not.
  Result<void> remove_entry(Node& dir, Entry& entry, int dirfd, Node& child);
  Result<void> remove_name(const Entry& entry, int dirfd);
  static void turn_into_whiteout(Directory& dir, Entry& entry);
  Result<void> remove_dir_entry(Node& dir, Entry& entry, int dirfd, Node& child);
  Result<void> remove_dir_name(const Entry& entry, int dirfd, const Node& child);
  static bool shows_nothing(const Directory& dir);

  // link.cc
  // A metacopy that leaves its place says in overlay.redirect where its data is.
  Result<void> name_lower_data(const sys::At& at, const Node& node);
  // Brings the lower names of a node that is in the upper there as well.
  Result<void> link_lower_names(Node& node);
  Result<void> link_lower_name(const ShapeToken& shape, Node& node, const HardLinks::Alias& alias);
  void remember_lower_name(Node& node, Node& dir, const Entry& entry);
  // Marks `dir` as holding what shows the inode number of a lower inode, if `node` does.
  Result<void> keep_origin_visible(const Node& node, int inode, Node& dir, int dirfd);
  Result<void> allow_link(Node& node, Node& dir);
  Result<void> link_into(int inode, int dirfd, const char* name, bool over_whiteout);
  // `inode` is open on the node's inode, which has got the name.
  Result<void> enter_link(Node& node, Node& dir, std::string_view name, int inode);

  // protection.cc: EPERM where the marks of chattr(1) forbid it.
  Result<void> allow_new_name(const ShapeToken& shape, Node& dir);
  Result<void> allow_removal(const ShapeToken& shape, Node& dir, Node& child);
  // Gives the copy of the lower inode `from`, on which `copy` is open unless it is special, the
  // marks that `from` has.
  Result<void> copy_protection(Node& node, const Place& from, int copy) const;
  Result<void> write_protection(const sys::At& at, const layer::Protattr& protection) const;
  static void note_protection(Node& node, const layer::Protattr& protection);

  // copy_up.cc
  Result<void> copy_up_ancestors(Node& node);
  Result<void> mark_impure(Node& dir, int dirfd);

  std::unique_ptr<Stack> stack_;
  ShapeLock shape_;
  NodeTable table_;
  HardLinks hard_links_;
  Successors successors_;
  Forgotten forgotten_;
  OtherNames other_names_;
  Unplaced unplaced_;
  DirFds dir_fds_;
  std::atomic<std::uint64_t> next_lower_key_{std::uint64_t{1} << 62};
  Node* root_ = nullptr;
  // Many nodes that go leave much memory that malloc would keep.
  static constexpr std::uint32_t kDropsPerTrim = 8192;
  std::atomic<std::uint32_t> dropped_{0};
};

}  // namespace layerfs::tree
