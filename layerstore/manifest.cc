#include "layerstore/manifest.h"

#include <sys/utsname.h>

#include <array>
#include <utility>

#include <nlohmann/json.hpp>

#include "layerstore/json_view.h"
#include "layerstore/media_type.h"

namespace layerfs::store {

namespace {

std::optional<Platform> parse_platform(const JsonView& json) {
  if (!json.is_object()) return std::nullopt;
  return Platform{json.text("os"), json.text("architecture"), json.text("variant")};
}

Outcome<Descriptor> parse_descriptor(const JsonView& json, const std::string& what) {
  const std::string text = json.text("digest");
  const std::optional<Digest> digest = Digest::parse(text);
  if (!digest)
    return refuse(what + " has the digest '" + text + "', which is not a SHA-256 digest");
  const std::optional<std::uint64_t> size = json.number("size");
  if (!size) return refuse(what + " has no valid size");
  return Descriptor{json.text("mediaType"), *digest, *size, parse_platform(json.at("platform")),
                    json.text_map("annotations")};
}

nlohmann::ordered_json to_json(const Descriptor& descriptor) {
  nlohmann::ordered_json json = {{"mediaType", descriptor.media_type},
                                 {"digest", descriptor.digest.text()},
                                 {"size", descriptor.size}};
  if (!descriptor.annotations.empty()) json["annotations"] = descriptor.annotations;
  return json;
}

bool runs_on(const Platform& platform, const Platform& machine) {
  return platform.os == machine.os && platform.architecture == machine.architecture;
}

}  // namespace

std::string Descriptor::annotation(const std::string& key) const {
  const auto found = annotations.find(key);
  return found == annotations.end() ? std::string() : found->second;
}

Outcome<Manifest> parse_manifest(std::string_view text) {
  const std::optional<JsonView> json = JsonView::parse(text);
  if (!json || !json->is_object()) return refuse("the image's manifest is not JSON");
  if (json->has("schemaVersion") && json->number("schemaVersion") != 2) {
    return refuse("the image's manifest is of an old form (schemaVersion is not 2)");
  }
  const std::string type = json->text("mediaType");
  if (!type.empty() && !is_manifest(type)) {
    return refuse("the image's manifest has the unknown media type '" + type + "'");
  }
  LAYERFS_TRY_ASSIGN(Descriptor config, parse_descriptor(json->at("config"), "the configuration"));
  if (!is_config(config.media_type)) {
    return refuse("the image's configuration has the unknown media type '" + config.media_type +
                  "'");
  }
  Manifest manifest{std::move(config), {}};
  for (const JsonView& item : json->at("layers").items()) {
    const std::string what = "layer " + std::to_string(manifest.layers.size() + 1);
    LAYERFS_TRY_ASSIGN(Descriptor layer, parse_descriptor(item, what));
    if (!layer_compression(layer.media_type)) {
      return refuse(what + " has the unknown media type '" + layer.media_type + "'");
    }
    manifest.layers.push_back(std::move(layer));
  }
  return manifest;
}

std::string write_manifest(const Manifest& manifest) {
  nlohmann::ordered_json json = {{"schemaVersion", 2},
                                 {"mediaType", kOciManifest},
                                 {"config", to_json(manifest.config)},
                                 {"layers", nlohmann::ordered_json::array()}};
  for (const Descriptor& layer : manifest.layers) json["layers"].push_back(to_json(layer));
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

Outcome<std::vector<Descriptor>> parse_index(std::string_view text) {
  const std::optional<JsonView> json = JsonView::parse(text);
  if (!json || !json->is_object()) return refuse("the index is not JSON");
  if (!json->at("manifests").is_array()) return refuse("the index has no list of manifests");
  std::vector<Descriptor> entries;
  for (const JsonView& item : json->at("manifests").items()) {
    LAYERFS_TRY_ASSIGN(Descriptor entry, parse_descriptor(item, "an entry of the index"));
    entries.push_back(std::move(entry));
  }
  return entries;
}

Platform machine_platform() {
  // uname's words and Go's.
  static constexpr std::array<std::array<std::string_view, 3>, 8> kMachines = {{
      {"x86_64", "amd64", ""},
      {"aarch64", "arm64", "v8"},
      {"armv7l", "arm", "v7"},
      {"armv6l", "arm", "v6"},
      {"i686", "386", ""},
      {"ppc64le", "ppc64le", ""},
      {"s390x", "s390x", ""},
      {"riscv64", "riscv64", ""},
  }};
  utsname name{};
  ::uname(&name);
  for (const auto& [machine, architecture, variant] : kMachines) {
    if (machine == name.machine) return {"linux", std::string(architecture), std::string(variant)};
  }
  return {"linux", name.machine, ""};
}

const Descriptor* choose_platform(const std::vector<Descriptor>& entries, const Platform& machine) {
  const Descriptor* same_variant = nullptr;
  const Descriptor* plain = nullptr;
  const Descriptor* unspecified = nullptr;
  for (const Descriptor& entry : entries) {
    if (!entry.platform || (entry.platform->os.empty() && entry.platform->architecture.empty())) {
      if (!unspecified) unspecified = &entry;
    } else if (runs_on(*entry.platform, machine)) {
      if (!same_variant && entry.platform->variant == machine.variant) same_variant = &entry;
      // An arm variant above the machine's does not run here.
      if (!plain && (machine.variant.empty() || entry.platform->variant <= machine.variant)) {
        plain = &entry;
      }
    }
  }
  if (same_variant) return same_variant;
  return plain ? plain : unspecified;
}

}  // namespace layerfs::store
