// A range of bytes in an open file.
#pragma once

#include <cstdint>
#include <memory>

#include "fs/sys/unique_fd.h"

namespace layerfs::store {

// A blob inside an archive, or a whole file. Shares the descriptor.
struct Region {
  std::shared_ptr<const sys::UniqueFd> file;
  std::uint64_t offset = 0;
  std::uint64_t size = 0;
};

}  // namespace layerfs::store
