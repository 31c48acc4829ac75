// Giving a new entry of a layer's tree what its archive says about it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "fs/layer/xattr_names.h"
#include "fs/sys/failure.h"
#include "layerstore/tree_writer.h"

namespace layerfs::store {

// containers-storage's record of an owner and mode that could not be set: "UID:GID:0MODE".
inline constexpr const char* kOverrideStat = "user.containers.override_stat";

// The path by which calls without an *at form reach what `fd` refers to, or `name` in it.
std::string proc_path(int fd);
std::string proc_path(int fd, std::string_view name);

// Owner, mode, xattrs and times of what is open as `fd` (a regular file or directory, not O_PATH).
// Adds to `skipped` each xattr that could not be set for want of privilege or of support. In this
// order: chown clears setuid and capabilities, and every change sets the times.
Outcome<void> set_attributes(int fd, const Attributes& attributes, mode_t type,
                             const TreeFormat& format, const layer::XattrNames& names,
                             std::uint64_t& skipped);

// The same for a symlink or special file, which is not opened.
Outcome<void> set_attributes(int parent, const std::string& name, const Attributes& attributes,
                             mode_t type, const TreeFormat& format, const layer::XattrNames& names,
                             std::uint64_t& skipped);

}  // namespace layerfs::store
