#include "fs/fuse/init.h"

#include <cstdint>

#include "fs/fuse/config.h"

namespace layerfs::fuse {

namespace {

// Wanted wherever the kernel has it.
constexpr std::uint64_t kAlways =
    FUSE_CAP_ASYNC_READ | FUSE_CAP_ATOMIC_O_TRUNC | FUSE_CAP_IOCTL_DIR | FUSE_CAP_PARALLEL_DIROPS |
    FUSE_CAP_CACHE_SYMLINKS | FUSE_CAP_EXPORT_SUPPORT |
    // fs/op applies the umask or the parent's default ACL and keeps mode and ACL in step.
    FUSE_CAP_DONT_MASK | FUSE_CAP_POSIX_ACL |
    // Directories are listed without handles.
    FUSE_CAP_NO_OPENDIR_SUPPORT | FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO |
    // Data changes through the mount only: a new mtime says nothing about cached pages.
    FUSE_CAP_EXPLICIT_INVAL_DATA;

// libfuse's defaults that are not for us: cached pages are not dropped for a new mtime, and splice
// costs more than it saves. With asynchronous direct I/O the kernel drops the cached pages of a
// range before it writes, and not again when the write has ended (generic_file_direct_write()):
// what others read meanwhile stays in the cache.
constexpr std::uint64_t kNever = FUSE_CAP_ASYNC_DIO | FUSE_CAP_AUTO_INVAL_DATA |
                                 FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE |
                                 FUSE_CAP_SPLICE_MOVE;

bool want(fuse_conn_info& connection, std::uint64_t capability) {
  return (connection.capable_ext & capability) != 0 &&
         fuse_set_feature_flag(&connection, capability);
}

}  // namespace

Agreed negotiate(const Wishes& wishes, fuse_conn_info& connection) noexcept {
  for (std::uint64_t bit = 1; bit != 0; bit <<= 1) {
    if (kAlways & bit) want(connection, bit);
    if (kNever & bit) fuse_unset_feature_flag(&connection, bit);
  }
#if LAYERFS_LIBFUSE_HAS_KILL_SUIDGID
  // Without it every write is preceded by GETXATTR security.capability.
  want(connection, FUSE_CAP_HANDLE_KILLPRIV_V2);
#endif

#if LAYERFS_LIBFUSE_HAS_IDMAP
  // The kernel then tells the caller's ids in requests that create something only (op::Caller).
  want(connection, FUSE_CAP_ALLOW_IDMAP);
#endif

  Agreed agreed;
  agreed.passthrough = wishes.passthrough && want(connection, FUSE_CAP_PASSTHROUGH);
  agreed.writeback =
      !agreed.passthrough && wishes.writeback && want(connection, FUSE_CAP_WRITEBACK_CACHE);
#if LAYERFS_LIBFUSE_HAS_URING
  agreed.io_uring = wishes.io_uring && want(connection, FUSE_CAP_OVER_IO_URING);
  if (!agreed.io_uring) fuse_unset_feature_flag(&connection, FUSE_CAP_OVER_IO_URING);
#endif

  connection.max_write = kLargestRequest;
  connection.max_readahead = kLargestRequest;
  // Read-ahead of several readers at once must not wait in the kernel.
  connection.max_background = 64;
  connection.congestion_threshold = 48;
  // The kernel stacks two file systems and no more: over layers that lie on none such, this mount
  // is the first, and overlayfs may go on top.
  connection.max_backing_stack_depth =
      wishes.over_stacked ? FUSE_BACKING_STACKED_OVER : FUSE_BACKING_STACKED_UNDER;
  // A request is never given up half done, so INTERRUPT is only noise.
  connection.no_interrupt = 1;
  return agreed;
}

}  // namespace layerfs::fuse
