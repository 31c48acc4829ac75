// Serving a mount: in this process, or in one that goes into the background once it is live.
#pragma once

#include <functional>
#include <memory>

#include "fs/fuse/session.h"
#include "fs/sys/failure.h"
#include "tools/io.h"

namespace layerfs::tools {

// Makes the session; called once, in the process that will serve it.
using Start = std::function<Outcome<std::unique_ptr<fuse::Session>>()>;
// Called when the mount is live, with everything that must be undone at its end behind it.
using Serve = std::function<Outcome<void>(fuse::Session&)>;

// Serves until the mount point is unmounted, or SIGTERM, SIGINT or SIGHUP asks for its end.
// `foreground`: in this process, messages on standard error. Else in a child process: the call
// returns when the mount is live or has failed, and the child has let go of standard input, output
// and error, of the terminal and of the working directory; its messages go to syslog.
// Must be called before the process starts threads. The process that serves gives up, for ever,
// what it does not need for that (fs/fuse/confinement.h): in the foreground that is this one.
Outcome<void> run_session(const Start& start, const Serve& serve, bool foreground);

}  // namespace layerfs::tools
