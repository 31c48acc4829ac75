// References to images: how people, archives and index.json name them.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "layerstore/digest.h"

namespace layerfs::store {

// NAME, NAME:TAG, NAME@DIGEST or NAME:TAG@DIGEST.
struct Reference {
  std::string name;              // "localhost/t/base:1": without the digest
  std::optional<Digest> digest;  // of the image's manifest
};

// In the grammar of the OCI distribution-spec, with a registry in front ("host:5000/a/b:tag") or
// without, or a tag alone ("Release_1"), as image layouts have it. At most 255 characters before
// the digest. Nothing for any other text, and for what is_digest_form() takes.
std::optional<Reference> parse_reference(std::string_view text);

// Whether the text can only mean a digest, whatever images are named: it begins as digests do
// ("sha256:"), or it is 64 hexadecimal digits.
bool is_digest_form(std::string_view text);

// Whether it is the beginning of a digest, of four digits at least, and perhaps a name as well.
bool is_digest_prefix(std::string_view text);

// Whether an image with this manifest may have the name `text`: a reference whose digest, if it has
// one, is the manifest's.
bool is_name_of(std::string_view text, const Digest& manifest);

}  // namespace layerfs::store
