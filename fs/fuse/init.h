// What is agreed with the kernel when a connection begins.
#pragma once

#include "fs/fuse/libfuse.h"

namespace layerfs::fuse {

// What the session would like; the kernel may know less.
struct Wishes {
  bool passthrough = false;
  bool writeback = false;  // the kernel grants it only without passthrough
  bool io_uring = false;
  bool over_stacked = false;  // pass through to files of an overlayfs or FUSE
};

// What it got.
struct Agreed {
  bool passthrough = false;
  bool writeback = false;
  bool io_uring = false;
};

// Fills in the answer to INIT.
Agreed negotiate(const Wishes& wishes, fuse_conn_info& connection) noexcept;

// Largest READ and WRITE, bytes: the kernel's own limit (FUSE_MAX_MAX_PAGES of 4 KiB).
inline constexpr unsigned kLargestRequest = 1u << 20;

}  // namespace layerfs::fuse
