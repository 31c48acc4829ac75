#include "layerstore/image_config.h"

#include "layerstore/json_view.h"

namespace layerfs::store {

namespace {

Outcome<std::vector<Digest>> diff_ids(const JsonView& json) {
  const JsonView rootfs = json.at("rootfs");
  if (!rootfs.at("diff_ids").is_array()) {
    return refuse("the image's configuration lists no layers (rootfs.diff_ids)");
  }
  std::vector<Digest> digests;
  for (const std::string& text : rootfs.texts("diff_ids")) {
    const std::optional<Digest> digest = Digest::parse(text);
    if (!digest)
      return refuse("the image's configuration names the layer '" + text +
                    "', which is not a SHA-256 digest");
    digests.push_back(*digest);
  }
  if (digests.size() != rootfs.at("diff_ids").items().size()) {
    return refuse("the image's configuration lists a layer (rootfs.diff_ids) that is not text");
  }
  return digests;
}

}  // namespace

Outcome<ImageConfig> parse_image_config(std::string_view text) {
  const std::optional<JsonView> json = JsonView::parse(text);
  if (!json || !json->is_object()) return refuse("the image's configuration is not JSON");
  const JsonView run = json->at("config");
  ImageConfig config;
  config.created = json->text("created");
  config.architecture = json->text("architecture");
  config.os = json->text("os");
  config.variant = json->text("variant");
  config.user = run.text("User");
  config.working_dir = run.text("WorkingDir");
  config.env = run.texts("Env");
  config.entrypoint = run.texts("Entrypoint");
  config.cmd = run.texts("Cmd");
  config.volumes = run.keys("Volumes");
  config.exposed_ports = run.keys("ExposedPorts");
  config.stop_signal = run.text("StopSignal");
  config.labels = run.text_map("Labels");
  LAYERFS_TRY_ASSIGN(config.diff_ids, diff_ids(*json));
  return config;
}

}  // namespace layerfs::store
