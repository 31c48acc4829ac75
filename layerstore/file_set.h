// The files that an image comes in: a directory, or the members of a tar archive.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "fs/sys/failure.h"
#include "layerstore/region.h"

namespace layerfs::store {

// Thread-safe.
class FileSet {
 public:
  virtual ~FileSet() = default;
  // Nothing if there is no such file. `name` is relative: "blobs/sha256/...". It may come from the
  // image itself: one that leads out of the set, through a symbolic link of a directory, or to
  // anything but a regular file is refused, and nothing is opened then.
  virtual Outcome<std::optional<Region>> find(const std::string& name) const = 0;

  // The whole of a file of at most kMaxDocument bytes; nothing if there is no such file.
  Outcome<std::optional<std::string>> read(const std::string& name) const;
};

// The directory or archive at `path`. An archive that is compressed as a whole, or is not a regular
// file ("-" is standard input), is first written to a file in the directory `spool` (borrowed).
Outcome<std::unique_ptr<FileSet>> open_file_set(const std::string& path, int spool);

}  // namespace layerfs::store
