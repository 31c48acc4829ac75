// Directories that only the caller and root can change. Thread-safe.
#pragma once

#include <sys/types.h>

#include <string>

#include "fs/sys/failure.h"
#include "fs/sys/unique_fd.h"

namespace layerfs::sys {

// Refuses the directory `fd` (O_PATH will do), which sentences call `name`, unless it belongs to
// the caller or to root, and no others may write it. The group that has its owner's number counts
// as the owner (a user's private group) where no ACL says more. A file system that another user
// serves (FUSE) says of owners what it likes: it is that user's.
Outcome<void> check_trusted(int fd, const std::string& name);

// A trusted directory and the path that leads there without a symlink.
struct TrustedDir {
  UniqueFd fd;  // O_PATH
  std::string path;
};

// Opens the directory that a person named by `path`: it is trusted, and nobody but the caller and
// root can put another in its place. Each directory on the way, and each symlink that is followed,
// belongs to the caller or root, and others cannot write there; but a sticky one, such as /tmp, may
// be open to all, since nobody can take away there what is another's. Within a user namespace
// the machine's root has no number of its own: there the owner "nobody" is taken for root on the
// way, though not at the end. ENOENT if it is not there.
Outcome<TrustedDir> open_trusted(const std::string& path);
// The same, but what is missing of the path is made, with this mode less the umask.
Outcome<TrustedDir> make_trusted(const std::string& path, mode_t mode);

}  // namespace layerfs::sys
