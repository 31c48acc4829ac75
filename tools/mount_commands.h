// The commands that make, list and end mounts.
#pragma once

#include <string>

#include "tools/commands.h"

namespace layerfs::tools {

int run_mount(const Args& args, Io& io);
int run_umount(const Args& args, Io& io);
int run_ps(const Args& args, Io& io);

// Whether the arguments of `layerfs` are those of a mount helper and not a subcommand's:
// `-o OPTIONS DIR` as podman and buildah call a mount_program, or `SOURCE DIR -o OPTIONS` as
// mount(8) and mount.fuse3 call a file system's program.
bool is_mount_helper_call(const Args& args);

// Mounts for such a call; also when started as mount.layerfs or mount.fuse.layerfs. SOURCE is the
// image unless the options name layers.
int run_mount_helper(const Args& args, Io& io);

// Unmounts for umount(8), which starts it as umount.layerfs or umount.fuse.layerfs, and waits for
// the daemon's end as `layerfs umount` does.
int run_umount_helper(const Args& args, Io& io);

}  // namespace layerfs::tools
