// Where the messages of this process (spdlog) go. All text in them is escaped, as in Output.
#pragma once

#include <string>

namespace layerfs::tools {

// From now on to standard error, as sentences of `program`.
void log_to_stderr(const std::string& program);

// From now on to syslog, as a daemon's, under the name of layerfs.
void log_to_syslog();

}  // namespace layerfs::tools
