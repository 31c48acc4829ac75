// The values that requests and replies are made of, free of any transport.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

#include "fs/sys/result.h"

namespace layerfs::op {

// What the kernel calls a nodeid. 1 is the root. While the daemon lives an id is never given to
// another object; they have nothing to do with st_ino.
using NodeId = std::uint64_t;
inline constexpr NodeId kRootNode = 1;

// Names one open file; 0 is no handle. Never reused while the daemon lives.
using HandleId = std::uint64_t;

// Who asks. Permission is checked by the kernel before (mount option default_permissions); these
// ids only own what is created. Where a mount may be idmapped they are -1 in requests that create
// nothing (fuse_get_req() in the kernel's fs/fuse/dev.c); what else depends on who asks is decided
// by what /proc says of `pid` (privileges.h).
struct Caller {
  uid_t uid = 0;
  gid_t gid = 0;
  pid_t pid = 0;
  mode_t umask = 0;  // of the caller; mode arguments arrive unmasked
};

// A name resolved. The holder owes the tree one forget() per Entry it was given.
struct Entry {
  NodeId node = 0;
  struct stat attr = {};
  bool attr_lasts = true;  // until a request changes it; else it may change without one
  // With the id it makes the file handle: another one for each mount, so that the handles of an
  // earlier mount, whose ids are given anew, are stale and lead to no other file. 0 for the root,
  // as the kernel has it.
  std::uint32_t generation = 0;
};

// How the kernel is to do the I/O of one open file (fuse-protocol FOPEN_* flags).
enum class IoMode {
  kCached,       // through the page cache, READ and WRITE come to the daemon
  kPassthrough,  // the kernel reads and writes the backing file itself
};

// An opened file. The holder owes one release(); until then `backing` stays registered.
struct Opened {
  HandleId handle = 0;
  IoMode mode = IoMode::kCached;
  int backing = 0;          // id from Backing::open, with kPassthrough only
  bool keep_cache = false;  // what the page cache holds of this inode is still true; kCached only
  // From now on attributes of the inode may change without a request: what the kernel was told of
  // them before must be dropped before the open is answered.
  bool ends_attr = false;
};

}  // namespace layerfs::op
