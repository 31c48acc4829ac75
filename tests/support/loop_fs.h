// File systems of a chosen type.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "tests/support/temp_dir.h"

namespace layerfs::test {

// More words for mkfs, and options for mount.
struct FsWishes {
  std::vector<std::string> make{};
  std::string mount{};
};

// A new file system of `type` (ext4, xfs, btrfs: its image is the sparse file TYPE.img below `dir`;
// or tmpfs), mounted at the directory fs-TYPE below `dir` until `dir` goes. 400 MiB suit each type.
// Throws std::runtime_error with what the failing program said.
std::filesystem::path mount_new_fs(const TempDir& dir, const std::string& type,
                                   std::uint64_t bytes = 400ULL << 20, const FsWishes& wishes = {});

// The same for the read-only file systems erofs and squashfs, which hold what `source` does.
std::filesystem::path mount_new_image(const TempDir& dir, const std::string& type,
                                      const std::filesystem::path& source);

}  // namespace layerfs::test
