// How many requests of each kind the kernel sent.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace layerfs::fuse {

// One per request of the protocol that reaches a handler.
enum class RequestKind : std::size_t {
  kLookup,
  kForget,
  kGetattr,
  kSetattr,
  kReadlink,
  kSymlink,
  kMknod,
  kMkdir,
  kUnlink,
  kRmdir,
  kRename,
  kLink,
  kOpen,
  kRead,
  kWrite,
  kStatfs,
  kRelease,
  kFsync,
  kSetxattr,
  kGetxattr,
  kListxattr,
  kRemovexattr,
  kFlush,
  kOpendir,
  kReaddir,
  kReaddirplus,
  kFsyncdir,
  kAccess,
  kCreate,
  kTmpfile,
  kIoctl,
  kFallocate,
  kLseek,
  kCopyFileRange,
  kStatx,
  kKinds,  // how many there are
};

// The protocol's name, such as "LOOKUP".
std::string_view name_of(RequestKind kind);

// Whether requests of that kind leave the upper as it is, but for times of access.
constexpr bool only_looks(RequestKind kind) {
  switch (kind) {
    case RequestKind::kLookup:
    case RequestKind::kForget:
    case RequestKind::kGetattr:
    case RequestKind::kReadlink:
    case RequestKind::kRead:
    case RequestKind::kStatfs:
    case RequestKind::kRelease:
    case RequestKind::kFsync:
    case RequestKind::kGetxattr:
    case RequestKind::kListxattr:
    case RequestKind::kFlush:
    case RequestKind::kOpendir:
    case RequestKind::kReaddir:
    case RequestKind::kReaddirplus:
    case RequestKind::kFsyncdir:
    case RequestKind::kAccess:
    case RequestKind::kLseek:
    case RequestKind::kStatx:
      return true;
    default:
      return false;
  }
}

// Thread-safe: counting costs one uncontended atomic addition per kind.
class RequestCounts {
 public:
  void add(RequestKind kind) noexcept {
    counts_[static_cast<std::size_t>(kind)].value.fetch_add(1, std::memory_order_relaxed);
  }

  // By name; kinds that never came are left out.
  std::map<std::string, std::uint64_t> by_name() const;

 private:
  // A cache line each: threads that serve different kinds do not slow each other.
  struct alignas(64) Count {
    std::atomic<std::uint64_t> value = 0;
  };
  std::array<Count, static_cast<std::size_t>(RequestKind::kKinds)> counts_;
};

}  // namespace layerfs::fuse
