// Daemons that the oracle starts.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "fs/sys/failure.h"

namespace layerfs::oracle {

// Starts a program whose output goes to the file `log`, and that dies with this process.
Outcome<pid_t> start_program(const std::vector<std::string>& arguments, const std::string& log);

// The content of a small file; empty when it cannot be read.
std::string read_text(const std::string& path);

}  // namespace layerfs::oracle
