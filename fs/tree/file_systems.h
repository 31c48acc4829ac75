// The file systems that the layers lie on: where they tell inodes apart, and inodes by handle.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "fs/sys/file_handle.h"
#include "fs/sys/result.h"
#include "fs/sys/unique_fd.h"
#include "fs/tree/inode_id.h"

namespace layerfs::tree {

// Whether the directory `fd` lies on overlayfs or FUSE, or may do.
bool is_stacked(int fd);

// Answers about identity only what is certain (doc/tree.md, "Identity"). Filled by add() before it
// is used; immutable and thread-safe from then on.
class FileSystems {
 public:
  // Learn the device of a layer's directory `dirfd`. The upper's comes first.
  void add_upper(dev_t device, int dirfd) { add(device, dirfd, true); }
  void add_lower(dev_t device, int dirfd) { add(device, dirfd, false); }
  std::vector<dev_t> devices() const;

  // Whether an inode on `device` is told from all others by its device, its number and its handle,
  // now and after a remount: the file system makes handles that hold the number, it does not lie on
  // others (overlayfs, FUSE), and it has a UUID that no other file system of the union has. False
  // for a device below a layer's root that is not one of the roots'.
  bool is_certain(dev_t device) const;

  // Whether device and number alone tell inodes apart while they exist: so on all file systems that
  // lie on a disk or in memory.
  bool tells_inodes_apart(dev_t device) const;

  // Whether d_ino in a directory on `device` is st_ino of the entry: of all entries, or of all but
  // directories, which may be subvolumes.
  bool lists_numbers(dev_t device) const { return tells_inodes_apart(device); }
  bool lists_numbers_of_directories(dev_t device) const;

  // The value of overlay.origin for `name` in `dirfd` (or `dirfd` itself, `name` being empty),
  // whose attributes are `st`; empty if that inode is not certain.
  // `upper`: it is an inode of the upper, as the value says then.
  Result<std::string> origin_of(const struct stat& st, int dirfd, const char* name,
                                bool upper = false) const;

  // The inode that a value of overlay.origin names, by what the value says. Nothing if it does not
  // name an inode of a file system of the union that is certain.
  std::optional<InodeId> named_by(const std::string& origin) const;

  // The attributes of that inode if it still exists, wherever on its file system. Needs
  // CAP_DAC_READ_SEARCH (EPERM); ESTALE if it is gone, or is not certain.
  Result<struct stat> find(const std::string& origin) const;

 private:
  struct FileSystem {
    dev_t device = 0;
    sys::Uuid uuid = {};
    std::uint64_t volume = 0;  // of btrfs, which has inode numbers of its own in each subvolume
    // How a handle tells the inode's number.
    enum class Numbers { kNotTold, kTold, kSwapped } numbers = Numbers::kNotTold;
    bool stacked = false;
    bool certain = false;
    sys::UniqueFd directory{};  // on it, open for reading; only where it is certain
  };

  const FileSystem* find_device(dev_t device) const;
  static std::optional<std::uint64_t> number_in(const FileSystem& fs,
                                                const sys::FileHandle& handle);
  const FileSystem* find_origin(const std::string& origin, sys::FileHandle& handle) const;
  void add(dev_t device, int dirfd, bool is_upper);
  void settle(FileSystem& added, bool is_upper);

  std::vector<FileSystem> all_;
};

}  // namespace layerfs::tree
