// What an image says about itself: OCI image-spec, config.md; Docker's image JSON is a superset.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "fs/sys/failure.h"
#include "layerstore/digest.h"

namespace layerfs::store {

struct ImageConfig {
  std::string created;  // RFC 3339, or empty
  std::string architecture;
  std::string os;
  std::string variant;

  std::string user;
  std::string working_dir;
  std::vector<std::string> env;  // NAME=value
  std::vector<std::string> entrypoint;
  std::vector<std::string> cmd;
  std::vector<std::string> volumes;        // paths in the container
  std::vector<std::string> exposed_ports;  // "80/tcp"
  std::string stop_signal;
  std::map<std::string, std::string> labels;

  std::vector<Digest> diff_ids;  // bottom layer first
};

// Parses a config blob. Refuses what is not JSON, lists no layer digests ("rootfs.diff_ids"), or
// lists one that is not a SHA-256 digest.
Outcome<ImageConfig> parse_image_config(std::string_view json);

}  // namespace layerfs::store
