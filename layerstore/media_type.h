// The media types of image parts: those of the OCI image-spec (media-types.md) and Docker's
// (image-manifest-v2-2), which mean the same.
#pragma once

#include <optional>
#include <string_view>

namespace layerfs::store {

enum class Compression { kNone, kGzip, kZstd };

inline constexpr std::string_view kOciManifest = "application/vnd.oci.image.manifest.v1+json";
inline constexpr std::string_view kOciIndex = "application/vnd.oci.image.index.v1+json";
inline constexpr std::string_view kOciConfig = "application/vnd.oci.image.config.v1+json";
inline constexpr std::string_view kOciLayer = "application/vnd.oci.image.layer.v1.tar";
inline constexpr std::string_view kOciLayerGzip = "application/vnd.oci.image.layer.v1.tar+gzip";
inline constexpr std::string_view kOciLayerZstd = "application/vnd.oci.image.layer.v1.tar+zstd";

bool is_manifest(std::string_view media_type);
bool is_index(std::string_view media_type);
bool is_config(std::string_view media_type);
// Nothing if it is no layer that can be unpacked. Writers are known to say "gzip" of a zstd layer
// and the other way round: the content decides (see detect_compression).
std::optional<Compression> layer_compression(std::string_view media_type);

// From the first bytes of a layer.
Compression detect_compression(std::string_view first_bytes);

std::string_view layer_media_type(Compression compression);

}  // namespace layerfs::store
