// image-store/: the store's images as podman and buildah read them, an "additional image store" of
// containers-storage (doc/store.md). It holds records only; the layers in it are links to the
// store's own.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "fs/sys/failure.h"
#include "layerstore/store.h"

namespace layerfs::store {

inline constexpr const char* kImageStore = "image-store";

bool has_image_store(const StoreDir& store);

// Makes it, or makes it agree with index.json again. Every image that is unpacked is in it under
// its name, or without one where the name is none for a registry or taken: then a sentence says so.
Outcome<std::vector<std::string>> write_image_store(const Store& store);

// Containers over its images must be gone.
Outcome<void> remove_image_store(const Store& store);

// An image's name as podman writes it: "localhost/" before one without a registry, ":latest" behind
// one without a tag. Nothing for what is no such name.
std::optional<std::string> registry_name(const std::string& name);

// An RFC 3339 time as another one in UTC, or the epoch for what is none.
std::string utc_time(const std::string& time);

}  // namespace layerfs::store
