// Manifests and indexes: OCI image-spec manifest.md, image-index.md, descriptor.md; Docker
// schema 2.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fs/sys/failure.h"
#include "layerstore/digest.h"

namespace layerfs::store {

inline constexpr const char* kRefName = "org.opencontainers.image.ref.name";

struct Platform {
  std::string os;
  std::string architecture;
  std::string variant;
};

struct Descriptor {
  std::string media_type;
  Digest digest;
  std::uint64_t size = 0;
  std::optional<Platform> platform{};
  std::map<std::string, std::string> annotations{};

  // An annotation's value, or "".
  std::string annotation(const std::string& key) const;
};

struct Manifest {
  Descriptor config;
  std::vector<Descriptor> layers;  // bottom first
};

// Parses and checks a manifest: media types that this program knows, SHA-256 digests, sizes.
Outcome<Manifest> parse_manifest(std::string_view json);

// The JSON of a manifest with OCI media types.
std::string write_manifest(const Manifest& manifest);

// The entries of an index, or of index.json. Entries whose media type is neither a manifest's nor
// an index's are kept: the caller decides.
Outcome<std::vector<Descriptor>> parse_index(std::string_view json);

// What this machine runs, in the words of the image-spec (Go's GOOS and GOARCH).
Platform machine_platform();

// The entry for the platform, preferring an equal variant; else an entry without a platform. Null
// if there is none. Attestations and the like ("unknown/unknown") are never chosen.
const Descriptor* choose_platform(const std::vector<Descriptor>& entries, const Platform& machine);

}  // namespace layerfs::store
