// The socket that clients come through.
#pragma once

#include <functional>
#include <string>

#include "fs/sys/failure.h"
#include "fs/sys/unique_fd.h"

namespace layerfs::snapshotter {

// A listening unix socket at `path`, 0600, in a directory that is made 0700 if it is not there.
// Refuses a directory that others may write, and a path at which another process listens; what a
// killed one left is replaced.
Outcome<sys::UniqueFd> listen_at(const std::string& path);

// The socket that the service manager has passed (systemd's protocol: LISTEN_PID, LISTEN_FDS), or
// an empty descriptor. Before any thread is started.
Outcome<sys::UniqueFd> inherited_socket();

// Accepts connections, and hands on those of root and of this process's own user, until `stop` (a
// descriptor, borrowed) is readable.
Outcome<void> accept_until(int listening, int stop,
                           const std::function<void(sys::UniqueFd)>& serve);

}  // namespace layerfs::snapshotter
