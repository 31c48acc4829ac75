// The index file of a layer. Its checksums are put right, so that what stands behind them is
// reached: they tell damage from what was written, and not who wrote it.
#include <algorithm>
#include <cstring>
#include <fstream>

#include "fs/layer/index.h"
#include "fs/layer/index_format.h"
#include "tests/fuzz/fuzz.h"

namespace layer = layerfs::layer;
namespace format = layerfs::layer::index_format;
namespace fuzz = layerfs::fuzz;

namespace {

std::string with_checksums(std::string bytes) {
  format::Header header;
  if (bytes.size() < sizeof header) return bytes;
  std::memcpy(&header, bytes.data(), sizeof header);
  header.magic = format::kMagic;
  header.version = format::kVersion;
  header.file_size = bytes.size();
  header.body_checksum =
      format::checksum(bytes.data() + sizeof header, bytes.size() - sizeof header);
  header.header_checksum = format::header_checksum(header);
  std::memcpy(bytes.data(), &header, sizeof header);
  return bytes;
}

// A mount reads an index without verifying it: nothing may depend on that.
void read_all(const layer::Index& index) {
  const std::size_t most = std::min<std::size_t>(index.inode_count(), 4096);
  for (std::size_t i = 0; i < most; ++i) {
    const auto slot = static_cast<layer::IndexSlot>(i);
    (void)index.inode(slot);
    (void)index.size(slot);
    std::size_t budget = 4096;
    (void)index.for_each(slot, 0, [&](const layer::IndexedEntry& entry) -> layerfs::Result<void> {
      fuzz::require(entry.name.find('/') == std::string_view::npos, "a name with a slash");
      (void)index.find(slot, entry.name);
      return --budget > 0 ? layerfs::Result<void>() : layerfs::fail(E2BIG);
    });
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Scratch& scratch = fuzz::scratch();
  std::ofstream(scratch.path() + "/index", std::ios::binary)
      << with_checksums(std::string(fuzz::text_of(data, size)));
  const auto index = layer::Index::open(scratch.fd(), "index");
  if (!index) return 0;
  read_all(**index);
  (void)(*index)->verify();
  return 0;
}
