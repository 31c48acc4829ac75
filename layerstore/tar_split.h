// What an archive has besides the content of its files: with the tree that was unpacked from it,
// the archive can be put together again, byte for byte. The form is that of containers-storage
// ("tar-split": lines of JSON, in gzip), which hands layers on by it.
#pragma once

#include "fs/sys/failure.h"
#include "layerstore/layer_stream.h"

namespace layerfs::store {

// Reads the archive to its end and writes the rest of it to `out`, which is at its beginning.
// `tree` is the directory that the archive was unpacked into. A file counts as being there if a
// regular file of its size is; what else the archive holds is written whole, and so is all behind a
// header that cannot be understood. Refuses what LayerStream refuses.
Outcome<void> write_tar_split(LayerStream& archive, int tree, int out);

}  // namespace layerfs::store
