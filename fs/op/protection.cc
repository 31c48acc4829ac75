#include "fs/op/protection.h"

#include <fcntl.h>

#include "fs/layer/marks.h"

namespace layerfs::op {
namespace {

Result<layer::Protattr> protection(FileSystem& fs, tree::Node& node) {
  auto shape = fs.tree->enter();
  return fs.tree->protection(shape, node);
}

bool is_now(const std::optional<timespec>& time) { return !time || time->tv_nsec == UTIME_NOW; }

}  // namespace

Result<void> allow_open(FileSystem& fs, tree::Node& node, int flags) {
  LAYERFS_TRY_ASSIGN(const layer::Protattr marks, protection(fs, node));
  const bool appends = (flags & O_APPEND) != 0 && (flags & O_TRUNC) == 0;
  if (marks.immutable || (marks.append && !appends)) return fail(EPERM);
  return {};
}

Result<void> allow_setattr(FileSystem& fs, tree::Node& node, const AttrChange& change) {
  const bool sets = change.mode || change.uid || change.gid || change.size;
  const bool touches = change.atime || change.mtime;
  // Else a write takes setuid away, which whoever may write need not be asked about.
  if (!sets && !touches) return {};
  LAYERFS_TRY_ASSIGN(const layer::Protattr marks, protection(fs, node));
  // The time of the last write alone is what the writeback cache sends.
  const bool explicit_times = change.atime && !(is_now(change.atime) && is_now(change.mtime));
  if (marks.append && (sets || explicit_times)) return fail(EPERM);
  // As write(2): who has a descriptor from before may go on.
  const bool goes_on = change.size && change.size_by_fd;
  if (marks.immutable && !goes_on) return fail(EPERM);
  return {};
}

Result<void> allow_fallocate(FileSystem& fs, tree::Node& node, int mode) {
  LAYERFS_TRY_ASSIGN(const layer::Protattr marks, protection(fs, node));
  if (marks.immutable || (marks.append && (mode & ~FALLOC_FL_KEEP_SIZE) != 0)) return fail(EPERM);
  return {};
}

Result<void> allow_copy_range(FileSystem& fs, tree::Node& node) {
  LAYERFS_TRY_ASSIGN(const layer::Protattr marks, protection(fs, node));
  if (marks.immutable) return fail(EPERM);
  return {};
}

Result<void> allow_setxattr(FileSystem& fs, tree::Node& node) {
  LAYERFS_TRY_ASSIGN(const layer::Protattr marks, protection(fs, node));
  if (marks.immutable || marks.append) return fail(EPERM);
  return {};
}

}  // namespace layerfs::op
