// A directory tree as canonical text: one line per name, every attribute a `key=value` word, so
// that two trees compare field by field and differences read well.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "fs/sys/failure.h"

namespace layerfs::oracle {

// Field name -> value. Fields of a name:
//   type mode uid gid size rdev target  as lstat and readlink say (no size for directories)
//   mtime atime       "now" where later than kNowThreshold; no atime of directories: the kernel's
//                     overlayfs updates it whenever it reads one, whatever the mount flags say
//   nlink             not of directories
//   names, link       how many names of the tree share the inode, and the first of them
//   data, holes       digest of the content; where a large file has data
//   alloc             "none" where a file with data claims to take no space
//   x:NAME            each xattr
//   dino, dtype       "differs" where readdir contradicts lstat
//   phantoms, twice   listed names that do not exist, or exist twice (of directories)
//   error:WHAT        a call that failed
//   ctime ino         only with SnapshotScope::kRaw (kImage and kRaw: times exact, no atime)
using Fields = std::map<std::string, std::string>;

// Path relative to the root -> fields; the root itself is ".".
using Snapshot = std::map<std::string, Fields>;

enum class SnapshotScope {
  kMount,  // what a user of the mount sees
  kImage,  // that, with exact mtimes, without atimes and holes: for trees that nobody writes
  kRaw,    // everything of a directory that must not change
};

// Times from here on count as "now": generated times are all earlier.
inline constexpr int64_t kNowThreshold = 1600000000;

// "SECONDS.NANOSECONDS", or "now".
std::string time_text(int64_t seconds, int64_t nanoseconds);

// Reads the tree at `root`. Changes the working directory of the calling process while it runs and
// leaves it undefined: call it in a forked child.
Snapshot take_snapshot(const std::string& root, SnapshotScope scope);

std::string to_text(const Snapshot& snapshot);
Outcome<Snapshot> parse_snapshot(std::string_view text);

}  // namespace layerfs::oracle
