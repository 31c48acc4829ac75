// References to images, as archives and people write them.
#include "layerstore/reference.h"
#include "tests/fuzz/fuzz.h"

namespace store = layerfs::store;
namespace fuzz = layerfs::fuzz;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = fuzz::text_of(data, size);
  static const store::Digest other = *store::Digest::parse(
      "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  const auto reference = store::parse_reference(text);
  if (!reference) {
    fuzz::require(!store::is_name_of(text, other), "what is no reference names an image");
    return 0;
  }
  fuzz::require(!store::is_digest_form(text), "a reference passes for a digest");
  fuzz::require(text.starts_with(reference->name), "a reference has another name");
  const bool is_name = store::is_name_of(text, other);
  fuzz::require(is_name == (!reference->digest || *reference->digest == other),
                "a name with another image's digest");
  return 0;
}
