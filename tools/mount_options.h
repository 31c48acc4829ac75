// The options of a mount as people and runtimes write them: the strings behind -o.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "fs/fuse/mount_options.h"
#include "fs/sys/failure.h"

namespace layerfs::tools {

// What the -o strings of one command line said.
struct MountRequest {
  fuse::MountOptions mount;           // mountpoint and source are not filled in here
  bool lowers_are_given = false;      // by lowerdir=, behind which none is added
  bool redirects_are_asked = false;   // by redirect_dir=on or follow
  bool metacopy_is_asked = false;     // by metacopy=on
  std::string snapshot;               // snapshot=NAME
  std::string root;                   // root=DIR: the store
  bool remount = false;               // only the flags of a mount that is there are to change
  std::vector<std::string> warnings;  // about options that have no effect, a sentence each
};

// Reads one -o string into `request`; later strings win over earlier ones. Kernel overlayfs's
// meaning: options are divided by commas, lower directories by colons, a backslash takes the
// special meaning from the character after it, and double quotes protect commas (for SELinux
// contexts). Empty options are allowed. An unknown option is a warning, a known one with a bad
// value an error.
Outcome<void> parse_mount_options(std::string_view text, MountRequest& request);

// Whether the options name layers by themselves, so that no image is needed.
bool names_layers(const MountRequest& request);

// What must hold between the options of a mount of plain directories: a lower directory, or an
// upper; an upper and its work directory together; redirects, metacopies and userxattr.
Outcome<void> check_layers(const MountRequest& request);

}  // namespace layerfs::tools
