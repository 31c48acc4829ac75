// Writing a layer's tree in the format of kernel overlayfs's lower layers (doc/store.md), from
// entries that may be hostile.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <ctime>
#include <list>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fs/layer/xattr_names.h"
#include "fs/sys/failure.h"
#include "fs/sys/unique_fd.h"
#include "layerstore/entry_path.h"
#include "layerstore/layer.h"
#include "layerstore/path_tree.h"
#include "layerstore/xattr_spool.h"

namespace layerfs::store {

struct Attributes {
  mode_t mode = 0755;  // permission bits, setuid, setgid, sticky
  uid_t uid = 0;
  gid_t gid = 0;
  timespec atime{};
  timespec mtime{};
  Xattrs xattrs{};  // as users see them
};

// How the store's user can keep what an archive says.
struct TreeFormat {
  Ownership ownership = Ownership::kReal;
  bool user_xattr = false;  // marks are user.overlay.*, not trusted.overlay.*

  // What this process may do.
  static TreeFormat for_this_process();
};

// A hard link whose target the layer does not have.
struct BorrowedLink {
  EntryPath link;
  EntryPath target;
};

// Nothing more than that a path is there.
struct Present {};

// What is to be known of a tree that has been written.
struct TreeNotes {
  std::uint64_t entries = 0;
  std::uint64_t size = 0;  // bytes of regular files
  bool has_root = false;   // there was an entry for the root directory
  bool opaque_root = false;
  PathTree<Present> implied;           // directories without an entry of their own
  std::vector<BorrowedLink> borrowed;  // in the order of the archive
  std::uint64_t skipped_devices = 0;   // for want of privilege
  std::uint64_t skipped_xattrs = 0;    // the same, or of a kind the file system does not have
};

// A regular file being written. Data goes to where it belongs; long runs of zeros and what is not
// written stay holes.
class NewFile {
 public:
  explicit NewFile(sys::UniqueFd fd) : fd_(std::move(fd)) {}
  Result<void> write(std::span<const std::byte> data, std::uint64_t offset);
  int fd() const { return fd_.get(); }

 private:
  Result<void> write_plain(std::span<const std::byte> data, std::uint64_t offset);
  sys::UniqueFd fd_;
};

// Every entry is reached through a descriptor of its parent, itself reached beneath the root, so
// that no name and no symlink of the archive leads anywhere else. A parent that is a symlink within
// the layer is followed if that stays within the layer, else refused. The last of several entries
// of one name counts. Not thread-safe.
class TreeWriter {
 public:
  // `root` is an empty directory, borrowed.
  TreeWriter(int root, const TreeFormat& format);

  Outcome<void> add_directory(const EntryPath& path, Attributes attributes);
  Outcome<NewFile> add_file(const EntryPath& path);
  // After the data: `size` is the file's, holes at its end included.
  Outcome<void> finish_file(NewFile file, const Attributes& attributes, std::uint64_t size);
  Outcome<void> add_symlink(const EntryPath& path, const std::string& target,
                            const Attributes& attributes);
  Outcome<void> add_hard_link(const EntryPath& path, const EntryPath& target);
  // A fifo, socket or device: `type` is S_IFIFO, ...
  Outcome<void> add_special(const EntryPath& path, mode_t type, dev_t device,
                            const Attributes& attributes);
  // The layers below lose this name.
  Outcome<void> add_whiteout(const EntryPath& path);
  // The layers below lose what this directory ("" for the root) holds.
  Outcome<void> add_opaque(const std::string& directory);

  // How many have been made by now, directories without an entry of their own among them.
  std::uint64_t entries() const { return notes_.entries; }
  std::uint64_t size() const { return notes_.size; }  // bytes of the regular files

  // Gives the directories their attributes. Nothing may be added afterwards.
  Outcome<TreeNotes> finish();

 private:
  struct CachedDir {
    std::string path;
    sys::UniqueFd fd;
  };
  struct LaterAttributes {
    Attributes plain;  // without the xattrs
    XattrSpool::Kept xattrs;
  };
  struct LaterLink {
    std::size_t order = 0;
    EntryPath target;
  };
  class Finish;

  // The descriptor (O_PATH) of a directory; made, as an implied one, if it is not there.
  Outcome<int> directory(const std::string& path);
  Result<sys::UniqueFd> open_beneath(const std::string& path, int flags) const;
  Outcome<sys::UniqueFd> make_parents(const std::string& path);
  Outcome<void> make_implied(int parent, const EntryPath& path);

  // Makes room for an entry: removes what has the name. True if that was a whiteout.
  Outcome<bool> clear(int parent, const EntryPath& path);
  void forget(const std::string& path);
  Outcome<bool> is_whiteout(int parent, const EntryPath& path, const struct stat& status) const;

  // True if it took the place of a whiteout, and so is opaque.
  Outcome<bool> make_directory(int parent, const EntryPath& path);
  Outcome<void> mark_opaque(int parent, const std::string& name, std::string_view value);
  Outcome<void> make_xattr_whiteout(int parent, const EntryPath& path);
  Outcome<void> set_later(const std::string& path, Attributes attributes);
  Outcome<void> borrow(const EntryPath& path, const EntryPath& target);
  std::vector<BorrowedLink> borrowed() const;

  const int root_;
  const TreeFormat format_;
  const layer::XattrNames names_;
  std::list<CachedDir> cache_;  // the last used first
  XattrSpool spool_;
  PathTree<LaterAttributes> directories_;  // of entries; set at the end
  PathTree<LaterLink> links_;              // whose target the layer does not have
  std::size_t link_bytes_ = 0;             // of their targets' names
  TreeNotes notes_;
};

}  // namespace layerfs::store
