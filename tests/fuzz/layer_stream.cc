// A layer's blob, as its author wrote it: decompressed, read as tar and unpacked.
#include "layerstore/layer_stream.h"

#include <fcntl.h>

#include <filesystem>

#include "layerstore/unpack.h"
#include "tests/fuzz/fuzz.h"

namespace store = layerfs::store;
namespace fuzz = layerfs::fuzz;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const store::TreeFormat format = store::TreeFormat::for_this_process();
  fuzz::Scratch& scratch = fuzz::scratch();
  const std::filesystem::path tree = scratch.path() + "/tree";
  std::filesystem::create_directory(tree);
  const layerfs::sys::UniqueFd root(::open(tree.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  {
    store::LayerStream stream(
        {fuzz::region_of(fuzz::with_tar_checksums(fuzz::text_of(data, size)))}, -1, nullptr);
    (void)store::unpack_layer(stream, root.get(), format);
  }
  // Whatever the archive says, nothing is made beside the tree.
  const auto entries = std::filesystem::directory_iterator(scratch.path());
  fuzz::require(std::distance(begin(entries), end(entries)) == 1, "an entry left its layer");
  scratch.empty();
  return 0;
}
