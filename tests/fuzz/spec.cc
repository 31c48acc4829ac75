// The config.json of a container, out of an image's configuration and its own /etc/passwd.
#include "tools/container/spec.h"

#include <nlohmann/json.hpp>

#include "layerstore/image_config.h"
#include "tests/fuzz/fuzz.h"
#include "tools/container/user.h"

namespace store = layerfs::store;
namespace tools = layerfs::tools;
namespace fuzz = layerfs::fuzz;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto parts = fuzz::parts_of(fuzz::text_of(data, size), 3);
  const auto image = store::parse_image_config(parts[0]);
  if (!image) return 0;
  const auto user = tools::find_user(image->user, {parts[1], parts[2]});
  if (!user) return 0;
  tools::ContainerOptions options;
  options.hostname = "fuzz";
  const auto process = tools::process_of(*image, options, *user, false);
  if (!process) return 0;
  fuzz::require(process->cwd.starts_with('/'), "a working directory that is not absolute");
  const auto config = tools::runtime_config(*image, options, *process, {});
  if (!config) return 0;
  const auto json = nlohmann::json::parse(*config, nullptr, false);
  fuzz::require(json.is_object(), "the configuration of a container is no JSON");
  fuzz::require(json["process"]["user"]["uid"] == user->uid, "a container runs as another user");
  fuzz::require(json["process"]["noNewPrivileges"].is_boolean() || !json["process"].is_null(),
                "a container without a process");
  return 0;
}
