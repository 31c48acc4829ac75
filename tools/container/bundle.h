// A directory that an OCI runtime starts a container from.
#pragma once

#include <string>
#include <vector>

#include "fs/sys/failure.h"
#include "layerstore/image_config.h"
#include "tools/container/spec.h"

namespace layerfs::tools {

// The container's root directory within the bundle.
std::string rootfs_of(const std::string& bundle);

// Makes `directory` and its "rootfs", with 0700. What is there must be a directory, and empty.
// Whether it made the directory itself: who fails later removes what he made.
Outcome<bool> make_bundle(const std::string& directory);

// Removes what make_bundle(), write_bundle() and Runtime::run() made; nothing may be mounted there
// any more. `with_directory`: also the directory itself.
void remove_bundle(const std::string& directory, bool with_directory);

// Writes config.json, and the files that stand for the image's where the host's network is used.
// The image must be mounted on "rootfs": users are looked up there, and unless `looking_only` (it
// is mounted read-only), directories for its volumes are made.
Outcome<void> write_bundle(const std::string& directory, const store::ImageConfig& image,
                           const ContainerOptions& options, bool terminal, bool looking_only);

}  // namespace layerfs::tools
