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

// Brings the data of `fd`, a regular file, to where a loss of power cannot separate it from a later
// change of metadata, such as the name that the file is given: whoever finds that change finds the
// data. The change itself is not synced. Errors are those of writing.
Result<void> flush_data(int fd);

}  // namespace layerfs::sys
