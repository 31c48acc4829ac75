// The files that an image comes in: a directory, or the members of a tar archive.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "fs/sys/failure.h"
#include "layerstore/import_limits.h"
#include "layerstore/region.h"

namespace layerfs::store {

// Thread-safe.
class FileSet {
 public:
  explicit FileSet(const ImportLimits& limits) : limits_(limits) {}
  FileSet(const FileSet&) = delete;
  FileSet& operator=(const FileSet&) = delete;
  virtual ~FileSet() = default;
  // Nothing if there is no such file. `name` is relative: "blobs/sha256/...". It may come from the
  // image itself: one that leads out of the set, through a symbolic link of a directory, or to
  // anything but a regular file is refused, and nothing is opened then.
  virtual Outcome<std::optional<Region>> find(const std::string& name) const = 0;

  // The whole of a document; nothing if there is no such file. Refuses one that is larger than a
  // document may be, or with all that were read before larger than all together.
  Outcome<std::optional<std::string>> read(const std::string& name) const;

 private:
  const ImportLimits limits_;
  mutable std::atomic<std::uint64_t> bytes_read_{0};
};

// The directory or archive at `path`. An archive that is compressed as a whole, or is not a regular
// file ("-" is standard input), is first written to a file in the directory `spool` (borrowed).
Outcome<std::unique_ptr<FileSet>> open_file_set(const std::string& path, int spool,
                                                const ImportLimits& limits = {});

}  // namespace layerfs::store
