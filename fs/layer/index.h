// The index of a lower layer, mapped (doc/layer-index.md).
#pragma once

#include <sys/stat.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>

#include "fs/layer/whiteouts.h"
#include "fs/sys/failure.h"
#include "fs/sys/result.h"

namespace layerfs::layer {

// What an index says of an inode beyond its attributes: bits, part of the format.
namespace index_flag {
inline constexpr std::uint32_t kOpaque = 1;
inline constexpr std::uint32_t kRedirect = 2;
inline constexpr std::uint32_t kMetacopy = 4;
// The data has to be looked at: written without kProgram for every file with an execute bit by
// those who did not know kProgram.
inline constexpr std::uint32_t kMaybeProgram = 8;
inline constexpr std::uint32_t kProgram = 0x10;
// Kinds of xattrs that users see. No bit of a kind: the inode has none of that kind.
inline constexpr std::uint32_t kCapability = 0x100;
inline constexpr std::uint32_t kSecurity = 0x200;
inline constexpr std::uint32_t kAcl = 0x400;
inline constexpr std::uint32_t kUser = 0x800;
inline constexpr std::uint32_t kTrusted = 0x1000;
inline constexpr std::uint32_t kOther = 0x2000;
inline constexpr std::uint32_t kAnyXattr = 0x3f00;
}  // namespace index_flag

// Names an inode within one index; hard links have the same.
using IndexSlot = std::uint32_t;
inline constexpr IndexSlot kIndexRoot = 0;
inline constexpr IndexSlot kNoSlot = ~IndexSlot{0};

struct IndexedEntry {
  std::string_view name;  // a valid single name, followed by a NUL; lives as long as the index
  std::uint64_t hash = 0;
  IndexSlot slot = kNoSlot;  // kNoSlot: a whiteout
  unsigned char type = 0;    // DT_*; DT_UNKNOWN for a whiteout

  bool whiteout() const { return slot == kNoSlot; }
};

struct IndexedInode {
  struct stat attr = {};    // as the layer's file system has it, st_dev apart, which is 0
  std::uint32_t flags = 0;  // index_flag
  std::string_view text;    // target of a symlink, or value of the redirect; a NUL follows
};

// Immutable, thread-safe, no system calls after open(). Whatever the file holds, nothing outside of
// it is read; EIO is the answer where it contradicts itself. The mapping stays while this lives,
// also when the file is replaced by another.
class Index {
 public:
  // The index `name` in `dirfd`. Refuses a file that is no index, of another version, truncated, or
  // whose header is damaged; 0 as the code means that, else it is the errno of reading it.
  static Outcome<std::unique_ptr<Index>> open(int dirfd, const char* name);

  ~Index();
  Index(const Index&) = delete;
  Index& operator=(const Index&) = delete;

  // Whether this was written for the layer whose root is `root_fd`, and for marks with that prefix
  // and whiteouts of that spelling.
  Result<bool> describes(int root_fd, bool user_xattr,
                         Whiteouts whiteouts = Whiteouts::kOverlay) const;

  // Reads the whole file; the Failure says what is wrong with it.
  Outcome<void> verify() const;

  // Nothing: `dir` has no such name. ENOTDIR: `dir` is no directory.
  Result<std::optional<IndexedEntry>> find(IndexSlot dir, std::string_view name) const;

  // Calls `fn` for each entry of `dir`, in the order of hashes, from the first whose hash is at
  // least `from`. `fn` returning an error ends it with that.
  Result<void> for_each(IndexSlot dir, std::uint64_t from,
                        const std::function<Result<void>(const IndexedEntry&)>& fn) const;
  Result<std::size_t> size(IndexSlot dir) const;

  // ENOENT for kNoSlot.
  Result<IndexedInode> inode(IndexSlot slot) const;

  // Those kinds of xattrs (index_flag) of which any inode of the layer has one.
  std::uint32_t xattr_kinds() const;
  std::size_t inode_count() const;

  // Nothing is read for a while: what was read counts as this process's memory no more. It comes
  // back from the page cache when it is needed.
  void rest() const noexcept;

 private:
  struct Mapping;
  explicit Index(std::unique_ptr<const Mapping> mapping);

  std::unique_ptr<const Mapping> mapping_;
};

}  // namespace layerfs::layer
