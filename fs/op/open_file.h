// What is kept per node while it is open.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>

#include "fs/sys/unique_fd.h"

namespace layerfs::op {

// A descriptor that reads and writes in flight keep open.
using DataFd = std::shared_ptr<const sys::UniqueFd>;

struct DataSize {
  off_t bytes = 0;
  blkcnt_t blocks = 0;  // of 512 bytes
};

// The I/O of one node that is open: all its opens are of one mode, as the kernel demands
// (fs/fuse/iomode.c). Guarded by op::OpenFiles.
struct OpenFile {
  bool passthrough = false;
  std::uint32_t opens = 0;
  DataFd data;            // the lower file, or the upper one; null: opened when it is asked for
  bool upper = false;     // `data` is of the upper
  bool writable = false;  // `data` is open for writing
  DataSize lower_size;    // of a lower file on a writable mount, if `passthrough`
  int backing = 0;        // of `data`, registered with the kernel if `passthrough`
  bool backing_writable = false;  // what is registered holds the file open for writing
};

}  // namespace layerfs::op
