#include "layerstore/media_type.h"

namespace layerfs::store {

namespace {

constexpr std::string_view kDocker = "application/vnd.docker.";
constexpr std::string_view kNondistributable =
    "application/vnd.oci.image.layer.nondistributable.v1.tar";

bool is_docker(std::string_view media_type, std::string_view rest) {
  return media_type.starts_with(kDocker) && media_type.substr(kDocker.size()) == rest;
}

}  // namespace

bool is_manifest(std::string_view type) {
  return type == kOciManifest || is_docker(type, "distribution.manifest.v2+json");
}

bool is_index(std::string_view type) {
  return type == kOciIndex || is_docker(type, "distribution.manifest.list.v2+json");
}

bool is_config(std::string_view type) {
  return type == kOciConfig || is_docker(type, "container.image.v1+json");
}

std::optional<Compression> layer_compression(std::string_view type) {
  if (is_docker(type, "image.rootfs.diff.tar")) return Compression::kNone;
  if (is_docker(type, "image.rootfs.diff.tar.gzip")) return Compression::kGzip;
  if (is_docker(type, "image.rootfs.diff.tar.zstd")) return Compression::kZstd;
  if (is_docker(type, "image.rootfs.foreign.diff.tar.gzip")) return Compression::kGzip;
  for (const std::string_view base : {kOciLayer, kNondistributable}) {
    if (!type.starts_with(base)) continue;
    const std::string_view suffix = type.substr(base.size());
    if (suffix.empty()) return Compression::kNone;
    if (suffix == "+gzip") return Compression::kGzip;
    if (suffix == "+zstd") return Compression::kZstd;
  }
  return std::nullopt;
}

Compression detect_compression(std::string_view bytes) {
  using namespace std::string_view_literals;
  if (bytes.starts_with("\x1f\x8b"sv)) return Compression::kGzip;
  if (bytes.starts_with("\x28\xb5\x2f\xfd"sv)) return Compression::kZstd;
  // A skippable frame (0x184D2A5?), which zstd:chunked may begin with.
  if (bytes.size() >= 4 && bytes.substr(1, 3) == "\x2a\x4d\x18"sv && (bytes[0] & 0xf0) == 0x50) {
    return Compression::kZstd;
  }
  return Compression::kNone;
}

std::string_view layer_media_type(Compression compression) {
  switch (compression) {
    case Compression::kGzip:
      return kOciLayerGzip;
    case Compression::kZstd:
      return kOciLayerZstd;
    case Compression::kNone:
      break;
  }
  return kOciLayer;
}

}  // namespace layerfs::store
