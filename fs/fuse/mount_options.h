// All that decides how a union is mounted.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "fs/op/file_system.h"

namespace layerfs::fuse {

enum class Transport {
  // io_uring where kernel and libfuse have it and no number of threads is asked for, else
  // /dev/fuse.
  kAuto,
  kIoUring,  // refuse to mount without it
  kDevFuse,
};

// Those of a large image are fewer. The daemon needs some 170 bytes for each.
inline constexpr std::size_t kDefaultMaxInodes = std::size_t{1} << 19;

struct MountOptions {
  op::StackOptions stack;
  std::string mountpoint;                   // an existing directory
  std::string source = "layerfs";           // first column of /proc/mounts
  bool read_only = false;                   // also without an upper
  bool allow_other = true;                  // without root it needs user_allow_other in fuse.conf
  std::vector<std::string> kernel_options;  // nosuid, nodev, noexec, noatime, ..., context=...
  Transport transport = Transport::kAuto;
  unsigned threads = 0;  // 0: as many as help
  // Wait awake where that pays: threads for a moment for the next request, and processors while
  // requests follow each other closely (fs/fuse/burst.h).
  bool spin = true;
  // Without passthrough: the kernel collects what is written, instead of a request for each
  // write(2), and keeps the sizes of files, which may then be wrong (doc/tree.md).
  bool writeback = false;
  // Beyond so many known inodes the kernel is asked to forget those that are not in use (pruner.h);
  // 0: never.
  std::size_t max_inodes = kDefaultMaxInodes;
  bool debug = false;  // each request to the log
};

}  // namespace layerfs::fuse
