// Mounts as the layers need them.
#pragma once

#include "fs/sys/result.h"
#include "fs/sys/unique_fd.h"

namespace layerfs::sys {

// The directory `path` of a detached, private, read-only clone of its mount (open_tree(2),
// mount_setattr(2)): nothing opened through it can be written, by nobody, and later mounts on top
// of it do not show. EPERM without CAP_SYS_ADMIN.
Result<UniqueFd> open_read_only_clone(const char* path);

// When reading a file sets its time of access: relatime, noatime, strictatime of mount(8).
enum class Atime { kRelative, kNever, kAlways };

// The same, but as writable as its mount is, and with a rule of its own for files; the time of
// access of directories is never set, since they are read to know them and not for a user. It holds
// the file system but not the mount, which can be unmounted meanwhile. EPERM without CAP_SYS_ADMIN,
// EINVAL if `path` holds mounts that must not be seen through.
Result<UniqueFd> open_clone(const char* path, Atime atime);

// Whether `path` lies on an idmapped mount (mount_setattr(2)): the owners that are seen there are
// not those on the disk. False if the kernel does not say.
bool is_idmapped(const char* path);

}  // namespace layerfs::sys
