// The command line of `layerfs run` and `layerfs bundle`.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "fs/sys/failure.h"
#include "tools/command_line.h"
#include "tools/container/spec.h"

namespace layerfs::tools {

// As it was written.
struct ContainerWords {
  std::vector<std::string> env;
  std::vector<std::string> volumes;  // SRC:DST[:ro]
  std::string workdir;
  std::string user;
  std::string hostname;
  std::string network = "host";
  std::optional<std::string> entrypoint;
  std::string seccomp = "default";
  bool read_only = false;
};

// Adds what both commands have. `words` must outlive `line`.
void add_container_options(CommandLine& line, ContainerWords& words);

// What the words mean; `hostname` is that of a container for which no other is asked. Refuses a
// variable without a name, and volumes that are not SRC:DST[:ro|:rw], whose source is not there, or
// whose target is not absolute.
Outcome<ContainerOptions> container_options(const ContainerWords& words,
                                            std::vector<std::string> command,
                                            const std::string& hostname);

// Divides "OPTIONS IMAGE -- COMMAND...": `args` keeps what is before the first "--", what is behind
// it is returned.
std::vector<std::string> split_off_command(Args& args);

}  // namespace layerfs::tools
