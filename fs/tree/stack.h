// The layers that a union is made of.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "fs/layer/layer.h"
#include "fs/layer/observer.h"
#include "fs/layer/owner_records.h"
#include "fs/layer/xattr_names.h"
#include "fs/sys/failure.h"
#include "fs/sys/mount.h"
#include "fs/tree/data_only.h"
#include "fs/tree/file_systems.h"
#include "fs/tree/inode_numbers.h"
#include "fs/tree/lower_dir.h"
#include "fs/tree/work_dir.h"

namespace layerfs::tree {

// What makes a union. Paths are relative to the working directory when it is opened.
struct StackOptions {
  std::vector<std::string> lowerdirs;      // topmost first; at least one unless there is an upper
  std::vector<std::string> datadirs;       // data-only layers, topmost first, below all lowerdirs
  std::vector<std::string> layer_indexes;  // index files of `lowerdirs`, as far as they have one
  // How whiteouts of `lowerdirs` are spelt, as far as that is told; nothing: who wrote it decides.
  std::vector<std::optional<layer::Whiteouts>> whiteouts;
  std::size_t root_lower = 0;   // whose root gives the union's its attributes if there is no upper
  std::string upperdir;         // empty: a read-only union
  std::string workdir;          // on the same file system as upperdir
  bool user_xattr = false;      // user.overlay.* instead of trusted.overlay.*
  bool volatile_upper = false;  // no syncing; the work directory is marked as overlayfs does
  // Whether overlay.redirect leads anywhere. Else what has one is EPERM, and neither redirects nor
  // metacopies are written or followed. Never with user_xattr: whoever owns a file can write its
  // redirect, and would read by it what only the daemon may.
  bool follow_redirects = true;
  bool redirect_dir = true;  // rename of lower directories by overlay.redirect, else EXDEV
  bool metacopy = true;      // changes of metadata copy no data; if not, metacopies are EPERM
  // Lower hard links stay one file after copy-up, where FileSystems::is_certain().
  bool index = true;
  Xino xino = Xino::kAuto;
  // Records owners and modes in the upper instead of setting them, unless its root says already
  // that it has records, and of which kind.
  layer::RecordKind record_owners = layer::RecordKind::kNone;
  bool recorded_owners_shown = true;         // else what has a record is shown as the daemon's
  sys::Atime atime = sys::Atime::kRelative;  // of files in the upper; lowers never change
  // Who is told what is wrong with the layers; null: the log.
  std::shared_ptr<layer::Observer> observer;
};

// The upper directory and its work directory, taken: no other daemon uses them meanwhile.
struct Upper {
  sys::UniqueFd root;  // O_PATH
  sys::UniqueFd lock;  // on it, as long as it is used
  dev_t device = 0;
  std::unique_ptr<WorkDir> work;
  bool orders_metadata = false;  // as sys::flush_data() asks
  bool shows_mounts = false;     // what is mounted in it shows
  layer::OwnerRecords records;
  layer::Reporter reporter;
};

// All layers of a union, opened. Immutable; thread-safe.
class Stack {
 public:
  // The Failure names the directory that is missing, no directory, in use, without xattrs, or on
  // another file system than its peer.
  static Outcome<std::unique_ptr<Stack>> open(const StackOptions& options);

  const StackOptions& options() const { return options_; }
  const layer::XattrNames& names() const { return names_; }
  const Upper* upper() const { return upper_ ? &*upper_ : nullptr; }
  const LowerDirs& roots() const { return roots_; }  // of the lowers, topmost first
  // No directory shows them; absolute redirects of metacopies in lower layers lead to their files.
  const DataOnlyLayers& data_only() const { return data_only_; }
  // Whether files of `dir` may have their data in a layer below.
  bool may_be_metacopy(const LowerDir& dir) const {
    return dir.position + 1 < roots_.size() || data_only_.any();
  }

  // Whether a layer lies on overlayfs or FUSE.
  bool lies_on_stacked() const;

  // What can be said about the identity of inodes of the layers.
  const FileSystems& file_systems() const { return file_systems_; }

  // What st_ino is on the union.
  InodeNumbers& numbers() const { return *numbers_; }

  // Whether the names of one lower inode of that type, with several names on `device`, lead to one
  // file of the union, before and after it is copied up. Else each name is a file of its own.
  bool keeps_links(dev_t device, mode_t type) const;

 private:
  explicit Stack(const StackOptions& options);
  Outcome<void> open_lowers();
  Outcome<void> open_upper();
  Outcome<layer::OwnerRecords> open_records(int root, const layer::Reporter& reporter);
  // Marks the index as that of the upper whose root is `root`; refuses that of another.
  Outcome<void> take_index(int root, const struct stat& st, const WorkDir& work) const;
  // The same for the lower directory that its entries were made over: that of another is not used.
  Outcome<void> match_index_with_lowers();
  // Whether the index has that mark, or is given it because it has none or holds nothing.
  Outcome<bool> mark_index(const WorkDir& work, std::string_view mark,
                           const std::string& value) const;

  StackOptions options_;
  layer::XattrNames names_;
  std::vector<std::unique_ptr<layer::Layer>> layers_;
  LowerDirs roots_;
  DataOnlyLayers data_only_;
  std::optional<Upper> upper_;
  layer::RecordedOwners recorded_owners_;
  FileSystems file_systems_;  // the upper's first
  std::unique_ptr<InodeNumbers> numbers_;
};

}  // namespace layerfs::tree
