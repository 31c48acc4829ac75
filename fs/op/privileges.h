// What a write by somebody without CAP_FSETID takes away.
#pragma once

#include <string>

#include "fs/sys/result.h"

namespace layerfs::op {

// Clears setuid, setgid where the group may execute, and security.capability of the regular file at
// `path` (from sys::fd_path), as setattr_should_drop_suidgid and cap_inode_killpriv of the kernel.
Result<void> drop_privileges(const std::string& path);

}  // namespace layerfs::op
