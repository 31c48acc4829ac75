// The mounts that containerd is told to make.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "snapshotter/info.h"

namespace layerfs::snapshotter {

// A union of directories; paths are absolute and have none of the characters that overlayfs's
// options give a meaning to.
struct MountPlan {
  std::vector<std::string> lowers;   // top first, at least one
  std::vector<std::string> indexes;  // of the lowers; an empty one stands for none
  std::string upper;                 // empty: read-only
  std::string work;
  std::size_t root = 0;           // the lower whose root a read-only union shows
  std::vector<std::string> more;  // further options of layerfs
};

// "lowerdir=..." and so on, as layerfs takes them.
std::vector<std::string> layerfs_options(const MountPlan& plan);

// By the mount helper `helper`: a name to be found on the PATH, or an absolute path.
Mount layerfs_mount(const MountPlan& plan, const std::string& helper);
// By the kernel's overlayfs.
Mount overlay_mount(const MountPlan& plan);
Mount bind_mount(const std::string& directory, bool read_only);

// Whether a path can stand in these options.
bool is_plain_path(const std::string& path);

}  // namespace layerfs::snapshotter
