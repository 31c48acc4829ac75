// One mounted union: what every operation works on.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "fs/op/backing.h"
#include "fs/op/id_map.h"
#include "fs/op/types.h"
#include "fs/sys/failure.h"
#include "fs/tree/stack.h"

namespace layerfs::op {

// Which files are opened as passthrough where the mount may have it (doc/tree.md).
enum class PassthroughPolicy {
  kAuto,   // upper files, and lower programs and libraries; all on a read-only mount
  kAll,    // all files
  kUpper,  // files of the upper only
  kNone,
};

struct StackOptions : tree::StackOptions {
  PassthroughPolicy passthrough = PassthroughPolicy::kAuto;
  IdMaps ids;
};

class FileSystem;  // defined in fs/op/file_system_state.h; others only pass it on

struct FileSystemDeleter {
  void operator()(FileSystem* fs) const noexcept;
};
using FileSystemPtr = std::unique_ptr<FileSystem, FileSystemDeleter>;

// Opens the layers, takes the upper (one daemon at a time: a lock on the work directory) and
// prepares the work directory. All operations on the result are thread-safe. The Failure's sentence
// names the directory that is missing, not a directory, in use, without xattrs, or on another file
// system than its peer.
Outcome<FileSystemPtr> open_file_system(const StackOptions& options);

// Allows passthrough from now on, before the first request. `backing` outlives the file system;
// null: every file is cached.
void set_backing(FileSystem& fs, Backing* backing);

// How many inodes the mount knows: the kernel has looked them up and not forgotten yet.
std::size_t known_inodes(const FileSystem& fs);

// Those of them that nothing but the kernel holds here: no open file, no operation, no known child.
std::vector<NodeId> idle_inodes(const FileSystem& fs);

// From now on `crowded` is called whenever an inode becomes known beyond `most`, by the thread that
// serves the request and under locks. To be called before the first request; `crowded` lives as
// long as requests are served.
void watch_inodes(FileSystem& fs, std::size_t most, std::function<void()> crowded);

// To be called when no request comes any more: whoever wants to mount the upper then waits until
// `fs` is gone, instead of being refused.
void announce_end(const FileSystem& fs) noexcept;

// Gives back memory that is for requests which follow each other, after the last of them.
// Thread-safe beside requests.
void rest(const FileSystem& fs) noexcept;

// Whether a layer lies on a file system that may itself be stacked over another: overlayfs or FUSE.
bool lies_on_stacked(const FileSystem& fs);

// True if there is no upper.
bool is_read_only(const FileSystem& fs);

}  // namespace layerfs::op
