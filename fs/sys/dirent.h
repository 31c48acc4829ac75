// Reading directories in large steps.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string_view>

#include "fs/sys/result.h"

namespace layerfs::sys {

struct Dirent {
  const char* name;    // NUL-terminated, valid during the call only
  unsigned char type;  // DT_*, possibly DT_UNKNOWN
  ino_t ino;
};

// Calls `fn` for each entry of the directory that `dirfd` (not O_PATH) is open on, from its start,
// without "." and "..". `fn` returning an error ends the reading with it.
Result<void> read_dir(int dirfd, const std::function<Result<void>(const Dirent&)>& fn);

}  // namespace layerfs::sys
