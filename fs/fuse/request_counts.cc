#include "fs/fuse/request_counts.h"

namespace layerfs::fuse {

namespace {

constexpr std::array<std::string_view, static_cast<std::size_t>(RequestKind::kKinds)> kNames = {
    "LOOKUP",   "FORGET",      "GETATTR",   "SETATTR",         "READLINK", "SYMLINK",
    "MKNOD",    "MKDIR",       "UNLINK",    "RMDIR",           "RENAME",   "LINK",
    "OPEN",     "READ",        "WRITE",     "STATFS",          "RELEASE",  "FSYNC",
    "SETXATTR", "GETXATTR",    "LISTXATTR", "REMOVEXATTR",     "FLUSH",    "OPENDIR",
    "READDIR",  "READDIRPLUS", "FSYNCDIR",  "ACCESS",          "CREATE",   "TMPFILE",
    "IOCTL",    "FALLOCATE",   "LSEEK",     "COPY_FILE_RANGE", "STATX"};
static_assert(kNames.back() == "STATX");

}  // namespace

std::string_view name_of(RequestKind kind) { return kNames[static_cast<std::size_t>(kind)]; }

std::map<std::string, std::uint64_t> RequestCounts::by_name() const {
  std::map<std::string, std::uint64_t> found;
  for (std::size_t i = 0; i < counts_.size(); ++i) {
    if (const std::uint64_t value = counts_[i].value.load(std::memory_order_relaxed)) {
      found.emplace(kNames[i], value);
    }
  }
  return found;
}

}  // namespace layerfs::fuse
