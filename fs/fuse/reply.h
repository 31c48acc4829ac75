// Answers to requests.
#pragma once

#include <sys/stat.h>
#include <sys/statvfs.h>

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "fs/fuse/config.h"
#include "fs/fuse/libfuse.h"
#include "fs/op/attr.h"
#include "fs/op/types.h"

namespace layerfs::fuse {

// Everything changes through the mount only, so what the kernel was told stays true until one of
// its own requests changes it (seconds; about thirty years).
inline constexpr double kEndless = 1e9;

// What the kernel wants to know about a node; with node 0 that there is none.
fuse_entry_param entry_param(const op::Entry& entry);

// The answer to one request. Each request is answered exactly once: the first answer counts, and
// the destructor answers EIO if there was none. The answers return false if the kernel does not
// want it any more; then a lookup count or a handle that it carried must be taken back.
class Reply {
 public:
  explicit Reply(fuse_req_t request) noexcept : request_(request) {}
  ~Reply();
  Reply(const Reply&) = delete;
  Reply& operator=(const Reply&) = delete;

  // Valid until the first answer.
  fuse_req_t request() const noexcept { return request_; }

  // The request is another's to answer from now on.
  void hand_on() noexcept { request_ = nullptr; }

  bool error(int code) noexcept;
  bool done() noexcept { return error(0); }
  void none() noexcept;  // forget has no answer
  bool entry(const op::Entry& entry) noexcept;
  bool no_entry() noexcept;                                 // ENOENT that may be remembered
  bool attr(const struct stat& attr, bool lasts) noexcept;  // see op::attr_lasts
#if LAYERFS_LIBFUSE_HAS_STATX
  bool statx(const op::AttrAndBirth& attr, bool lasts) noexcept;
#endif
  bool link_target(const std::string& target) noexcept;
  bool opened(const op::Opened& opened) noexcept;
  bool created(const op::Entry& entry, const op::Opened& opened) noexcept;
  bool data(std::span<const char> bytes) noexcept;
  bool count(std::size_t bytes) noexcept;  // WRITE, COPY_FILE_RANGE
  bool xattr_size(std::size_t bytes) noexcept;
  bool statfs(const struct statvfs& stat) noexcept;
  bool offset(off_t offset) noexcept;
  bool ioctl(std::string_view out) noexcept;

 private:
  // Hands the request out for its answer; null if it was answered already.
  fuse_req_t take() noexcept;

  fuse_req_t request_;
};

}  // namespace layerfs::fuse
