// Which layerfs mounts there are and whose they are: the kernel's mount table, and a file that each
// daemon leaves beside it.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "fs/sys/failure.h"
#include "fs/sys/trusted_dir.h"
#include "fs/sys/unique_fd.h"

namespace layerfs::tools {

// Where what runs leaves word of itself: /run/layerfs for root, else $XDG_RUNTIME_DIR/layerfs,
// which is made if need be. Refuses where there is neither, or somebody else than the caller and
// root can change it: what lies there is believed, and removed.
Outcome<sys::TrustedDir> runtime_directory();

// What a daemon says of its mount.
struct MountRecord {
  std::string mountpoint;  // absolute
  std::string image;       // empty for plain directories
  std::string snapshot;    // empty for plain directories and read-only mounts
  std::vector<std::string> lowerdirs;
  std::string upperdir;        // empty: read-only
  std::string transport;       // as Session::description() has it
  bool is_restricted = false;  // as fuse::is_restricted() has it
  dev_t device = 0;
  pid_t pid = 0;
  std::int64_t since = 0;  // nanoseconds since the epoch
};

// One mount as the kernel lists it, with what its daemon said; without a record (a daemon of
// another user, or one whose record is gone) only mountpoint and device are known.
struct LiveMount {
  MountRecord record;
  std::string source;  // first column of /proc/mounts
  bool alive = false;  // a daemon with a record runs
};

// The record of this process, removed at its end. The process keeps it locked, so that the record
// of one that was killed is known for what it is.
class RecordFile {
 public:
  // Where no directory for records can be had, nothing is written: only `layerfs ps` misses it.
  explicit RecordFile(const MountRecord& record);
  RecordFile(const RecordFile&) = delete;
  RecordFile& operator=(const RecordFile&) = delete;
  ~RecordFile();

 private:
  sys::UniqueFd directory_;
  std::string name_;  // empty: nothing was written
  sys::UniqueFd lock_;
};

// Every layerfs mount that this process sees, in the order of the mount table. Records of daemons
// that are no more are removed on the way.
Outcome<std::vector<LiveMount>> live_mounts();

// Waits until the process has ended; false if it still runs after `seconds`.
bool wait_for_end(pid_t pid, int seconds);

// `path` made absolute, its links resolved but for the last component, so that a mount point whose
// daemon is gone still has a name.
std::string absolute_mountpoint(const std::string& path);

}  // namespace layerfs::tools
