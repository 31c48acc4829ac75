// One operation of a sequence, as a value with a textual form that parses back.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "fs/sys/failure.h"

namespace layerfs::oracle {

// What an operation does. The textual names are in op.cc, the meaning is that of the system call
// of the same name unless said otherwise.
enum class OpKind {
  kOpen,       // openat(path, flags, mode) into `slot`
  kReopen,     // open /proc/self/fd/`slot2` with `flags` into `slot`
  kClose,      // close `slot`
  kRead,       // pread `len` at `off` from `slot`
  kWrite,      // pwrite pattern `fill`, `len` at `off`, to `slot`; appends where opened so
  kMapRead,    // digest of a shared mapping of `slot`, from its start to the size
  kMapWrite,   // store pattern `fill`, `len` at `off`, within the size, through a shared mapping
  kFtruncate,  // ftruncate `slot` to `len`
  kFallocate,  // fallocate `slot` with `flags`, `off`, `len`
  kCopyRange,  // copy_file_range `slot2` at `off2` to `slot` at `off`
  kSeek,       // lseek `slot` by `off`; flags 3 is SEEK_DATA, 4 SEEK_HOLE
  kFsync,      // fsync `slot`
  kFstat,      // attributes of `slot`
  kFchmod,
  kFchown,
  kFutimens,
  kFsetxattr,
  kFgetxattr,
  kFremovexattr,
  kFlistxattr,
  kList,   // rewind the directory `slot` and list it
  kChurn,  // list directory `path` in small steps, creating and deleting names between them
  kSlurp,  // open `path`, read all of it, close
  kPoke,   // open `path` with `flags`, write pattern `fill`, `len` at `off`, close
  kTruncate,
  kMkdir,
  kRmdir,
  kUnlink,
  kRename,   // `path` to `path2` with `flags`
  kLink,     // `path` to `path2` with `flags`
  kLinkFd,   // the file in `slot` to `path2`
  kSymlink,  // `value` at `path`
  kReadlink,
  kMknod,  // `mode` with type bits, device number `off`
  kStat,
  kChmod,
  kChown,
  kLchown,
  kUtimens,
  kSetxattr,
  kGetxattr,
  kRemovexattr,
  kListxattr,
  kAccess,
  kStatfs,
  kLs,          // names and types of directory `path`
  kRmTree,      // rm -rf `path`
  kTree,        // snapshot of the whole tree
  kDropCaches,  // the mount forgets all dentries and inodes that nobody uses
  kRemount,     // all descriptors closed, unmounted, mounted again
  kStackUpper,  // as kRemount, but the upper becomes the topmost lower under a fresh upper
};

// Who performs an operation: index into actors() in executor.h.
using ActorIndex = int64_t;

// Fields that an operation does not use keep their defaults and are not printed.
struct Op {
  OpKind kind{};
  int64_t slot = -1;   // descriptor table index
  int64_t slot2 = -1;  // a second one
  int64_t at = -1;     // slot of the directory that relative paths start from; -1: the root
  std::string path;    // relative
  std::string path2;
  std::string name;   // of an xattr
  std::string value;  // of an xattr or symlink
  int64_t flags = 0;
  int64_t mode = 0;
  int64_t off = 0;
  int64_t off2 = 0;
  int64_t len = 0;
  int64_t fill = 0;
  int64_t uid = -1;
  int64_t gid = -1;
  std::string atime;  // seconds[.nanoseconds], "now" or "omit"
  std::string mtime;
  int64_t umask = 022;
  ActorIndex as = 0;

  bool operator==(const Op&) const = default;
};

// "rename path=a path2=b flags=1"
std::string to_text(const Op& op);
Outcome<Op> parse_op(std::string_view line);

// The word an operation begins with.
std::string_view kind_name(OpKind kind);

// Whether the mount is taken down and up again by the operation.
bool is_remount(const Op& op);

}  // namespace layerfs::oracle
