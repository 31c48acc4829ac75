// The names of extended attributes, as users see them and as they lie in a layer.
#pragma once

#include <string>
#include <string_view>

#include "fs/sys/result.h"

namespace layerfs::layer {

// Kernel overlayfs keeps its marks in trusted.overlay.* or, with the mount option userxattr, in
// user.overlay.*; what a user stores under that prefix lies in the layer as <prefix>overlay.*
// (fs/overlayfs/xattrs.c, Linux 6.7). The other of the two prefixes means nothing special.
//
// Records of owners (owner_records.h) are marks in every mount, whether they count in it or not:
// what a user stores under such a name, as a container runtime in a container does, must not count
// in a mount of the same layer later. user.containers.override_stat lies there as
// user.containers.overlay.override_stat.
// Immutable; thread-safe.
class XattrNames {
 public:
  explicit XattrNames(bool user_xattr)
      : prefix_(user_xattr ? "user.overlay." : "trusted.overlay.") {}

  // The name of a mark: mark("opaque").
  std::string mark(std::string_view suffix) const { return prefix_ + std::string(suffix); }

  // Whether the xattr of a layer is a mark: never shown to users, never copied up as it is.
  bool is_private(std::string_view on_disk) const;

  // Where a user's attribute lies in a layer. EOPNOTSUPP: the name is too long to be escaped.
  Result<std::string> on_disk(std::string_view visible) const;

  // What users call an attribute of a layer that is not private.
  std::string visible(std::string_view on_disk) const;

 private:
  // How much of a name that is escaped, or has to be, stands before the escape; 0 for others.
  std::size_t prefix_of(std::string_view name) const;

  std::string prefix_;
};

}  // namespace layerfs::layer
