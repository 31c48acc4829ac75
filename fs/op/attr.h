// Attributes of nodes and of the file system.
#pragma once

#include <sys/statvfs.h>

#include <optional>
#include <string>

#include "fs/op/file_system.h"
#include "fs/op/types.h"

namespace layerfs::op {

// What a setattr is to change; an empty value changes nothing but, with kill_suidgid, the bits.
struct AttrChange {
  std::optional<mode_t> mode;  // permission bits, as chmod takes them
  std::optional<uid_t> uid;
  std::optional<gid_t> gid;
  std::optional<off_t> size;
  bool size_by_fd = false;        // ftruncate(2), not truncate(2)
  std::optional<timespec> atime;  // tv_nsec may be UTIME_NOW
  std::optional<timespec> mtime;  // tv_nsec may be UTIME_NOW
  // Clear setuid, setgid and security.capability, as a write by this one does who has no
  // CAP_FSETID: FATTR_KILL_SUIDGID, or a SETATTR with no valid bits (HANDLE_KILLPRIV_V2).
  std::optional<Caller> kill_suidgid;
};

Result<struct stat> getattr(FileSystem& fs, NodeId node);

// With the time at which the inode that is shown was made: the lower one before a copy-up, the
// upper one after.
struct AttrAndBirth {
  struct stat attr = {};
  std::optional<timespec> birth;  // nothing where the layer's file system does not know
};
Result<AttrAndBirth> statx(FileSystem& fs, NodeId node);

// Whether the attributes of `node` change by requests only. Not those of a passthrough file that
// has been open for reading and writing: stores to a mapping of it, which may outlive the last
// close, set its times and the blocks it takes, and nobody is told. Nor those of a copied-up inode
// while the kernel keeps the birth time of the lower one, which it drops for a new one only, and
// asks for that only if it has to ask for other attributes as well.
bool attr_lasts(FileSystem& fs, NodeId node);

// Copies the file up first, without its data where data does not change (metacopy).
Result<struct stat> setattr(FileSystem& fs, NodeId node, const AttrChange& change);

// A change of nothing announces a write by `caller` to a file that is setuid, setgid or has
// capabilities, where the data does not pass through the daemon. Capabilities go in any case; who
// has CAP_FSETID leaves the rest.
Result<struct stat> prepare_write(FileSystem& fs, NodeId node, const Caller& caller);

Result<std::string> readlink(FileSystem& fs, NodeId node);

// The upper's file system, or the topmost lower's on a read-only mount, as overlayfs has it.
Result<struct statvfs> statfs(FileSystem& fs);

}  // namespace layerfs::op
