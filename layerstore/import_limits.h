// What an import may take of this machine, whatever its source says.
#pragma once

#include <cstdint>
#include <limits>
#include <string>

#include "fs/sys/failure.h"

namespace layerfs::store {

// Each has an option of `layerfs import`, which the sentence of whoever is stopped by it names.
struct ImportLimits {
  // Entries of a layer, and files of an archive. Directories that the archive leaves out count.
  std::uint64_t entries = 2'000'000;
  // Bytes by which an archive describes one entry: its name, its extended attributes, the places of
  // its data.
  std::uint64_t header = 1 << 20;
  // Bytes of one manifest, configuration or index. Of all that a source has together: 32 times.
  std::uint64_t document = 4 << 20;
  // Bytes of the files of a layer, decompressed.
  std::uint64_t size = std::numeric_limits<std::uint64_t>::max();

  static constexpr std::uint64_t kDocuments = 32;
};

// "WHAT more than LIMIT, the most that `layerfs import` takes without --OPTION".
inline tl::unexpected<Failure> over_limit(const std::string& what, std::uint64_t limit,
                                          const char* option) {
  return refuse(what + " more than " + std::to_string(limit) +
                    ", the limit of an import; if you trust the image, raise it with " + option,
                EFBIG);
}

}  // namespace layerfs::store
