// One test over kernel overlayfs, which shows what is right, and over layerfs.
#pragma once

#include <sys/stat.h>

#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/command.h"
#include "tests/support/temp_dir.h"

namespace layerfs::test {

// What a union is made of.
struct Layers {
  std::vector<std::filesystem::path> lowers{};  // topmost first
  std::filesystem::path upper{};                // empty: read-only
  std::filesystem::path work{};
  std::string options = "index=on";
};

// The parameter is "overlay" or "layerfs". The directory "disk" below dir_ is a new ext4; it holds
// the directories "upper" and "work".
class EitherUnion : public testing::TestWithParam<const char*> {
 protected:
  EitherUnion();

  bool is_kernel() const { return GetParam() == std::string("overlay"); }

  // Over "upper" and "work" of the disk.
  Layers writable(const std::vector<std::filesystem::path>& lowers) const;
  // What the mounting program says, which is the layerfs of this build or mount(8).
  Ran try_mount(const Layers& layers, const std::string& point = "mnt") const;
  // Expects that it works. The point is made.
  void mount(const Layers& layers, const std::string& point = "mnt") const;
  void unmount(const std::string& point = "mnt") const;
  void remount(const Layers& layers) const;

  // A read-only image of `tree`, mounted at the directory `name`: "squashfs" or "erofs".
  std::filesystem::path mount_image(const std::string& type, const std::filesystem::path& tree,
                                    const std::string& name) const;

  // Runs a script in `where` below dir_; the output of one that has to succeed.
  Ran in(const std::filesystem::path& where, const std::string& script) const;
  std::string out(const std::filesystem::path& where, const std::string& script) const;
  // Content of a file of the mount "mnt".
  std::string cat(const std::string& name) const { return read_file(dir_ / "mnt" / name); }
  struct stat attr(const std::string& name) const;
  // st_dev and st_ino of a name of the mount "mnt": equal for names of one file only.
  std::string identity(const std::string& name) const;

  const TempDir dir_;
  const std::filesystem::path disk_;
};

}  // namespace layerfs::test
