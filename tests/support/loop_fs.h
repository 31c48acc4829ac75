// File systems of a chosen type.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "tests/support/temp_dir.h"

namespace layerfs::test {

// A new file system of `type` (ext4, xfs, btrfs: its image is a sparse file below `dir`; or tmpfs),
// mounted at a directory below `dir` until `dir` goes. 400 MiB suit each type.
// Throws std::runtime_error with what the failing program said.
std::filesystem::path mount_new_fs(const TempDir& dir, const std::string& type,
                                   std::uint64_t bytes = 400ULL << 20);

}  // namespace layerfs::test
