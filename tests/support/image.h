// Container images made by a test.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace layerfs::test {

enum class LayerForm { kPlain, kGzip, kZstd };

struct LayerSpec {
  std::string tar;
  LayerForm form = LayerForm::kPlain;
  std::string media_type{};  // empty: that of the form
};

std::string sha256_hex(const std::string& data);
std::string gzipped(const std::string& data);
std::string zstd_compressed(const std::string& data);

// Writes an OCI image layout with one image to the directory `layout`, or adds the image to one
// that is there. `name` is the reference.
void write_layout(const std::filesystem::path& layout, const std::string& name,
                  const std::vector<LayerSpec>& layers);

// Writes an archive of `docker save` with the image to `archive`.
void write_docker_archive(const std::filesystem::path& archive, const std::string& name,
                          const std::vector<LayerSpec>& layers);

}  // namespace layerfs::test
