// Makes the index of a layer (doc/layer-index.md) from what is in it.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <memory>
#include <string_view>

#include "fs/layer/index.h"
#include "fs/sys/result.h"

namespace layerfs::layer {

// Takes inodes and their names in any order, a name's directory before the name. Not thread-safe.
class IndexBuilder {
 public:
  struct Options {
    bool user_xattr = false;  // marks are in user.overlay.*
    Whiteouts whiteouts = Whiteouts::kOverlay;
  };
  // Names an inode within this builder; not what it will be called in the index.
  using Id = std::uint32_t;

  // `root`: of the layer's root directory, which gets the id 0; the index will be taken for that of
  // this very directory only (Index::describes).
  IndexBuilder(Options options, const struct stat& root, std::uint32_t flags);
  IndexBuilder(IndexBuilder&&) noexcept;
  ~IndexBuilder();

  // `flags`: index_flag. `text`: a symlink's target, or the redirect if flags say so.
  // EINVAL: a redirect that is not valid.
  Result<Id> add_inode(const struct stat& attr, std::uint32_t flags, std::string_view text = {});
  // Corrections that come to light later, such as a hard link's count or a directory's times.
  void set_attributes(Id id, const struct stat& attr);
  void add_flags(Id id, std::uint32_t flags);

  // EINVAL: no valid single name, or `dir` is no directory, or a directory gets a second name.
  // EEXIST: `dir` has the name already; a whiteout in its place is dropped, and makes a directory
  // that follows it opaque.
  Result<void> add_entry(Id dir, std::string_view name, Id id);
  // Where the name is there already, its entry stays, and a directory becomes opaque.
  Result<void> add_whiteout(Id dir, std::string_view name);

  // Writes the index to `fd`, an empty file open for writing. Inodes without a name are left out.
  // EFBIG: more than the format can count.
  Result<void> write(int fd) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace layerfs::layer
