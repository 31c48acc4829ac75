// The data of one regular file into another.
#pragma once

#include <sys/types.h>

#include "fs/sys/result.h"

namespace layerfs::sys {

// Makes `to`, an empty regular file open for writing without O_APPEND, hold the first `size` bytes
// of `from`, a regular file open for reading. Extents are shared where the file system can, else
// copied within the kernel, else through a buffer. What is a hole in `from` is one in `to`; so is
// what lies between the end of `from` and `size`.
//
// The position of `from` changes; that of `to` does not matter. Nothing is synced. After an error
// `to` holds anything. Errors are those of reading and writing, ENOSPC, EDQUOT and EIO among them.
Result<void> copy_data(int from, int to, off_t size);

// Whether the file system of `fd` (O_PATH will do) writes metadata in the order of its changes, and
// data that was waited for before metadata that changed later. In memory nothing has to be ordered.
// False where nobody says; holds while the file system is mounted. Reads /sys and /proc.
bool orders_metadata(int fd);

// Brings the data of `fd`, a regular file, to where a loss of power cannot separate it from a later
// change of metadata, such as the name that the file is given: whoever finds that change finds the
// data. The change itself is not synced. `ordered` is what orders_metadata() says of its file
// system: then waiting is enough. Errors are those of writing.
Result<void> flush_data(int fd, bool ordered);

}  // namespace layerfs::sys
