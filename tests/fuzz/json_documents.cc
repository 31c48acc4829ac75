// The JSON documents of an image.
#include "layerstore/image_config.h"
#include "layerstore/manifest.h"
#include "tests/fuzz/fuzz.h"

namespace store = layerfs::store;
namespace fuzz = layerfs::fuzz;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = fuzz::text_of(data, size);
  if (const auto manifest = store::parse_manifest(text)) {
    const auto again = store::parse_manifest(store::write_manifest(*manifest));
    fuzz::require(again.has_value(), "a manifest that was read cannot be written");
    fuzz::require(again->layers.size() == manifest->layers.size(), "a manifest loses a layer");
    fuzz::require(again->config.digest == manifest->config.digest, "a manifest loses its config");
  }
  if (const auto entries = store::parse_index(text)) {
    (void)store::choose_platform(*entries, store::machine_platform());
  }
  (void)store::parse_image_config(text);
  return 0;
}
