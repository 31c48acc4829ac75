// An image's archive as a whole: the outer tar, its documents and what they name.
#include <fstream>

#include "layerstore/file_set.h"
#include "layerstore/image_source.h"
#include "tests/fuzz/fuzz.h"

namespace store = layerfs::store;
namespace fuzz = layerfs::fuzz;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Scratch& scratch = fuzz::scratch();
  const std::string path = scratch.path() + "/archive";
  std::ofstream(path, std::ios::binary) << fuzz::with_tar_checksums(fuzz::text_of(data, size));
  const auto files = store::open_file_set(path, scratch.fd());
  if (!files) return 0;
  const auto images = store::read_images(**files, "");
  if (!images) return 0;
  for (const store::SourceImage& image : *images) {
    fuzz::require(image.layers.size() == image.parsed_config.diff_ids.size(),
                  "an image has another number of layers than its configuration says");
  }
  return 0;
}
