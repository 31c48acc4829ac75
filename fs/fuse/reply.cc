#include "fs/fuse/reply.h"

#include <sys/sysmacros.h>

#include <utility>

namespace layerfs::fuse {

namespace {

fuse_file_info file_info(const op::Opened& opened) {
  fuse_file_info info = {};
  info.fh = opened.handle;
  // pwrite(2) needs no order between writers of one file.
  info.parallel_direct_writes = 1;
  // A passthrough file has no cache to keep, and the kernel refuses the wish (EIO).
  if (opened.mode == op::IoMode::kPassthrough) {
    info.backing_id = opened.backing;
  } else {
    info.keep_cache = opened.keep_cache ? 1 : 0;
  }
  return info;
}

#if LAYERFS_LIBFUSE_HAS_STATX
statx_timestamp time_of(const timespec& time) {
  statx_timestamp to = {};
  to.tv_sec = time.tv_sec;
  to.tv_nsec = static_cast<std::uint32_t>(time.tv_nsec);
  return to;
}

// Without stx_attributes, of which the kernel shows none.
struct statx full_attr(const op::AttrAndBirth& from) {
  const struct stat& attr = from.attr;
  struct statx to = {};
  to.stx_mask = STATX_BASIC_STATS;
  to.stx_blksize = static_cast<std::uint32_t>(attr.st_blksize);
  to.stx_nlink = static_cast<std::uint32_t>(attr.st_nlink);
  to.stx_uid = attr.st_uid;
  to.stx_gid = attr.st_gid;
  to.stx_mode = static_cast<std::uint16_t>(attr.st_mode);
  to.stx_ino = attr.st_ino;
  to.stx_size = static_cast<std::uint64_t>(attr.st_size);
  to.stx_blocks = static_cast<std::uint64_t>(attr.st_blocks);
  to.stx_atime = time_of(attr.st_atim);
  to.stx_mtime = time_of(attr.st_mtim);
  to.stx_ctime = time_of(attr.st_ctim);
  to.stx_rdev_major = major(attr.st_rdev);
  to.stx_rdev_minor = minor(attr.st_rdev);
  if (from.birth) {
    to.stx_mask |= STATX_BTIME;
    to.stx_btime = time_of(*from.birth);
  }
  return to;
}
#endif

}  // namespace

fuse_entry_param entry_param(const op::Entry& entry) {
  fuse_entry_param param = {};
  param.ino = entry.node;
  param.generation = entry.generation;
  param.attr = entry.attr;
  param.attr_timeout = entry.attr_lasts ? kEndless : 0;
  param.entry_timeout = kEndless;
  return param;
}

Reply::~Reply() {
  if (request_ != nullptr) error(EIO);
}

fuse_req_t Reply::take() noexcept { return std::exchange(request_, nullptr); }

bool Reply::error(int code) noexcept {
  fuse_req_t request = take();
  return request != nullptr && fuse_reply_err(request, code) == 0;
}

void Reply::none() noexcept {
  if (fuse_req_t request = take()) fuse_reply_none(request);
}

bool Reply::entry(const op::Entry& entry) noexcept {
  fuse_req_t request = take();
  const fuse_entry_param param = entry_param(entry);
  return request != nullptr && fuse_reply_entry(request, &param) == 0;
}

bool Reply::no_entry() noexcept { return entry(op::Entry{}); }

bool Reply::attr(const struct stat& attr, bool lasts) noexcept {
  fuse_req_t request = take();
  return request != nullptr && fuse_reply_attr(request, &attr, lasts ? kEndless : 0) == 0;
}

#if LAYERFS_LIBFUSE_HAS_STATX
bool Reply::statx(const op::AttrAndBirth& attr, bool lasts) noexcept {
  fuse_req_t request = take();
  struct statx full = full_attr(attr);
  return request != nullptr && fuse_reply_statx(request, 0, &full, lasts ? kEndless : 0) == 0;
}
#endif

bool Reply::link_target(const std::string& target) noexcept {
  fuse_req_t request = take();
  return request != nullptr && fuse_reply_readlink(request, target.c_str()) == 0;
}

bool Reply::opened(const op::Opened& opened) noexcept {
  fuse_req_t request = take();
  const fuse_file_info info = file_info(opened);
  return request != nullptr && fuse_reply_open(request, &info) == 0;
}

bool Reply::created(const op::Entry& entry, const op::Opened& opened) noexcept {
  fuse_req_t request = take();
  const fuse_entry_param param = entry_param(entry);
  const fuse_file_info info = file_info(opened);
  return request != nullptr && fuse_reply_create(request, &param, &info) == 0;
}

bool Reply::data(std::span<const char> bytes) noexcept {
  fuse_req_t request = take();
  return request != nullptr && fuse_reply_buf(request, bytes.data(), bytes.size()) == 0;
}

bool Reply::count(std::size_t bytes) noexcept {
  fuse_req_t request = take();
  return request != nullptr && fuse_reply_write(request, bytes) == 0;
}

bool Reply::xattr_size(std::size_t bytes) noexcept {
  fuse_req_t request = take();
  return request != nullptr && fuse_reply_xattr(request, bytes) == 0;
}

bool Reply::statfs(const struct statvfs& stat) noexcept {
  fuse_req_t request = take();
  return request != nullptr && fuse_reply_statfs(request, &stat) == 0;
}

bool Reply::offset(off_t offset) noexcept {
  fuse_req_t request = take();
  return request != nullptr && fuse_reply_lseek(request, offset) == 0;
}

bool Reply::ioctl(std::string_view out) noexcept {
  fuse_req_t request = take();
  return request != nullptr && fuse_reply_ioctl(request, 0, out.data(), out.size()) == 0;
}

}  // namespace layerfs::fuse
