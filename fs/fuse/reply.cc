#include "fs/fuse/reply.h"

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

}  // namespace

fuse_entry_param entry_param(const op::Entry& entry) {
  fuse_entry_param param = {};
  param.ino = entry.node;
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
