// The layers that a union is made of.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "fs/layer/layer.h"
#include "fs/layer/owner_records.h"
#include "fs/layer/xattr_names.h"
#include "fs/sys/failure.h"
#include "fs/sys/file_handle.h"
#include "fs/sys/mount.h"
#include "fs/tree/data_only.h"
#include "fs/tree/lower_dir.h"
#include "fs/tree/work_dir.h"

namespace layerfs::tree {

// What makes a union. Paths are relative to the working directory when it is opened.
struct StackOptions {
  std::vector<std::string> lowerdirs;      // topmost first; at least one unless there is an upper
  std::vector<std::string> datadirs;       // data-only layers, topmost first, below all lowerdirs
  std::vector<std::string> layer_indexes;  // index files of `lowerdirs`, as far as they have one
  std::size_t root_lower = 0;   // whose root gives the union's its attributes if there is no upper
  std::string upperdir;         // empty: a read-only union
  std::string workdir;          // on the same file system as upperdir
  bool user_xattr = false;      // user.overlay.* instead of trusted.overlay.*
  bool volatile_upper = false;  // no syncing; the work directory is marked as overlayfs does
  bool redirect_dir = true;     // rename of lower directories by overlay.redirect, else EXDEV
  bool metacopy = true;         // changes of metadata copy no data
  bool index = true;            // lower hard links stay one file after copy-up
  // Records owners and modes in the upper instead of setting them, unless its root says already
  // that it has records, and of which kind.
  layer::RecordKind record_owners = layer::RecordKind::kNone;
  bool recorded_owners_shown = true;         // else what has a record is shown as the daemon's
  sys::Atime atime = sys::Atime::kRelative;  // of files in the upper; lowers never change
};

// The upper directory and its work directory, taken: no other daemon uses them meanwhile.
struct Upper {
  sys::UniqueFd root;  // O_PATH
  dev_t device = 0;
  std::unique_ptr<WorkDir> work;
  bool orders_metadata = false;  // as sys::flush_data() asks
  layer::OwnerRecords records;
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

  // False if there is no upper, and the indexes of all layers say that users see no xattr in them.
  bool may_have_xattrs() const;

  // Whether a layer lies on overlayfs or FUSE.
  bool lies_on_stacked() const;

  // st_ino on the union of the inode `ino` of a layer on `device`: the same number while all layers
  // are on one file system, else with the file system's position in the highest byte, as
  // overlayfs's xino has it.
  ino_t map_ino(dev_t device, ino_t ino) const;

  // st_ino of what an upper inode was copied from, if the value of its overlay.origin tells.
  std::optional<ino_t> origin_ino(const std::string& origin) const;

  // Attributes of the file that such a value names, wherever on its file system it is. Needs
  // CAP_DAC_READ_SEARCH (EPERM); ESTALE if it is gone or of no layer's file system.
  Result<struct stat> origin_stat(const std::string& origin) const;

  // The value of overlay.origin for `name` in `dirfd` (or `dirfd` itself, `name` being empty) on
  // a layer's `device`; empty if the file system has no handles.
  std::string make_origin(dev_t device, int dirfd, const char* name) const;

 private:
  struct FileSystem {
    dev_t device;
    sys::Uuid uuid;
  };

  explicit Stack(const StackOptions& options) : options_(options), names_(options.user_xattr) {}
  Outcome<void> open_lowers();
  Outcome<void> open_upper();
  Outcome<layer::OwnerRecords> open_records(int root);
  void add_file_system(dev_t device, int dirfd);
  const FileSystem* file_system(dev_t device) const;

  StackOptions options_;
  layer::XattrNames names_;
  std::vector<std::unique_ptr<layer::Layer>> layers_;
  LowerDirs roots_;
  DataOnlyLayers data_only_;
  std::optional<Upper> upper_;
  layer::RecordedOwners recorded_owners_;
  std::vector<FileSystem> file_systems_;  // the upper's first
};

}  // namespace layerfs::tree
