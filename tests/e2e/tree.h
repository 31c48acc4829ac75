// Trees that must be equal whoever unpacked or mounted them.
#pragma once

#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

#include "tests/oracle/snapshot.h"

namespace layerfs::test {

using Tree = oracle::Snapshot;

// Names, types, modes, owners, mtimes to the nanosecond, link counts and who shares an inode,
// symlink targets, device numbers, xattrs and contents of all that is below `root`.
Tree read_tree(const std::filesystem::path& root);

// Takes from the tree the mtimes that are not older than `start`: whoever made it did not know
// them.
void forget_mtimes_from(std::chrono::system_clock::time_point start, Tree& tree);

// What differs, a line each, some twenty at most. Tolerated, and so not told, is what the union
// knows better than the kernel's overlayfs: see tests/oracle/compare.cc.
// An mtime that `expected` does not know is not compared.
std::vector<std::string> differences(const Tree& expected, const Tree& got);

}  // namespace layerfs::test
