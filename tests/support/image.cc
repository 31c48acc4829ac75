#include "tests/support/image.h"

#include <zstd.h>

#include <stdexcept>

#include <isa-l/igzip_lib.h>
#include <nlohmann/json.hpp>
#include <openssl/evp.h>

#include "tests/support/tar.h"
#include "tests/support/temp_dir.h"

namespace layerfs::test {

namespace {

using Json = nlohmann::ordered_json;

std::string digest(const std::string& data) { return "sha256:" + sha256_hex(data); }

std::string compressed(const LayerSpec& layer) {
  switch (layer.form) {
    case LayerForm::kGzip:
      return gzipped(layer.tar);
    case LayerForm::kZstd:
      return zstd_compressed(layer.tar);
    case LayerForm::kPlain:
      break;
  }
  return layer.tar;
}

std::string media_type(const LayerSpec& layer) {
  if (!layer.media_type.empty()) return layer.media_type;
  const std::string base = "application/vnd.oci.image.layer.v1.tar";
  if (layer.form == LayerForm::kPlain) return base;
  return base + (layer.form == LayerForm::kGzip ? "+gzip" : "+zstd");
}

std::string config_json(const std::vector<LayerSpec>& layers) {
  Json diff_ids = Json::array();
  for (const LayerSpec& layer : layers) diff_ids.push_back(digest(layer.tar));
  const Json json = {{"architecture", "amd64"},
                     {"os", "linux"},
                     {"config", {{"Env", {"PATH=/bin"}}, {"Cmd", {"/bin/sh"}}}},
                     {"rootfs", {{"type", "layers"}, {"diff_ids", diff_ids}}}};
  return json.dump();
}

Json descriptor(const std::string& type, const std::string& data) {
  return {{"mediaType", type}, {"digest", digest(data)}, {"size", data.size()}};
}

}  // namespace

std::string sha256_hex(const std::string& data) {
  unsigned char bytes[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  if (EVP_Digest(data.data(), data.size(), bytes, &size, EVP_sha256(), nullptr) != 1) {
    throw std::runtime_error("EVP_Digest");
  }
  std::string hex;
  for (unsigned i = 0; i < size; ++i) {
    hex += "0123456789abcdef"[bytes[i] >> 4];
    hex += "0123456789abcdef"[bytes[i] & 15];
  }
  return hex;
}

std::string gzipped(const std::string& data) {
  std::string out(data.size() + data.size() / 8 + 4096, '\0');
  isal_zstream stream;
  isal_deflate_stateless_init(&stream);
  stream.gzip_flag = IGZIP_GZIP;
  stream.end_of_stream = 1;
  stream.next_in = reinterpret_cast<std::uint8_t*>(const_cast<char*>(data.data()));
  stream.avail_in = static_cast<std::uint32_t>(data.size());
  stream.next_out = reinterpret_cast<std::uint8_t*>(out.data());
  stream.avail_out = static_cast<std::uint32_t>(out.size());
  if (isal_deflate_stateless(&stream) != COMP_OK) throw std::runtime_error("isal_deflate");
  out.resize(stream.total_out);
  return out;
}

std::string zstd_compressed(const std::string& data) {
  std::string out(ZSTD_compressBound(data.size()), '\0');
  const std::size_t size = ZSTD_compress(out.data(), out.size(), data.data(), data.size(), 1);
  if (ZSTD_isError(size)) throw std::runtime_error(ZSTD_getErrorName(size));
  out.resize(size);
  return out;
}

void write_layout(const std::filesystem::path& layout, const std::string& name,
                  const std::vector<LayerSpec>& layers) {
  const auto add = [&](const std::string& data) {
    write_file(layout / "blobs/sha256" / sha256_hex(data), data);
  };
  const std::string config = config_json(layers);
  Json manifest = {{"schemaVersion", 2},
                   {"mediaType", "application/vnd.oci.image.manifest.v1+json"},
                   {"config", descriptor("application/vnd.oci.image.config.v1+json", config)},
                   {"layers", Json::array()}};
  for (const LayerSpec& layer : layers) {
    const std::string blob = compressed(layer);
    add(blob);
    manifest["layers"].push_back(descriptor(media_type(layer), blob));
  }
  add(config);
  add(manifest.dump());
  Json entry = descriptor("application/vnd.oci.image.manifest.v1+json", manifest.dump());
  if (!name.empty()) entry["annotations"] = {{"org.opencontainers.image.ref.name", name}};
  Json index = {{"schemaVersion", 2}, {"manifests", Json::array()}};
  if (std::filesystem::exists(layout / "index.json")) {
    index = Json::parse(read_file(layout / "index.json"));
  }
  index["manifests"].push_back(entry);
  write_file(layout / "index.json", index.dump());
  write_file(layout / "oci-layout", R"({"imageLayoutVersion":"1.0.0"})");
}

void write_docker_archive(const std::filesystem::path& archive, const std::string& name,
                          const std::vector<LayerSpec>& layers) {
  std::vector<TarEntry> entries;
  Json names = Json::array();
  for (const LayerSpec& layer : layers) {
    const std::string id = sha256_hex(layer.tar + "v1");
    entries.push_back(tar_dir(id));
    entries.push_back(tar_file(id + "/VERSION", "1.0"));
    entries.push_back(tar_file(id + "/layer.tar", compressed(layer)));
    names.push_back(id + "/layer.tar");
  }
  const std::string config = config_json(layers);
  const std::string config_name = sha256_hex(config) + ".json";
  entries.push_back(tar_file(config_name, config));
  const Json manifest = Json::array(
      {{{"Config", config_name}, {"RepoTags", Json::array({name})}, {"Layers", names}}});
  entries.push_back(tar_file("manifest.json", manifest.dump()));
  write_file(archive, make_tar(entries));
}

}  // namespace layerfs::test
