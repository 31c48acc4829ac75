// Extended attributes that are to be set later.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "fs/sys/failure.h"
#include "fs/sys/unique_fd.h"

namespace layerfs::store {

using Xattrs = std::vector<std::pair<std::string, std::string>>;

// Keeps what is large in a file without a name, so that it costs no memory. Not thread-safe.
class XattrSpool {
 public:
  // Where they are: in memory if they are small, else in the file.
  struct Kept {
    Xattrs here;
    std::uint64_t offset = 0;
    std::uint64_t size = 0;
  };

  // The file is made in the directory, which is borrowed, once it is needed.
  explicit XattrSpool(int dir) : dir_(dir) {}

  Outcome<Kept> keep(Xattrs xattrs);
  Outcome<Xattrs> read(const Kept& kept) const;

 private:
  const int dir_;
  sys::UniqueFd file_;
  std::uint64_t end_ = 0;
};

}  // namespace layerfs::store
