// Random cases, reproducible from their seed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tests/oracle/case.h"

namespace layerfs::oracle {

// The mount options with which kernel overlayfs is the measure.
inline constexpr const char* kFullOptions = "redirect_dir=on,index=on,metacopy=on,xino=auto";
// Data is copied with the metadata.
inline constexpr const char* kWholeCopyOptions = "redirect_dir=on,index=on,metacopy=off,xino=auto";
// Nothing that an upper of the first kernel overlayfs had not.
inline constexpr const char* kPlainOptions = "redirect_dir=off,index=off,metacopy=off";
// Marks in user.*, as for mounts without privilege.
inline constexpr const char* kUserOptions =
    "userxattr,redirect_dir=nofollow,index=off,metacopy=off";

struct GenerateOptions {
  int ops = 40;
  std::optional<std::string> options;  // unset: drawn from the seed, mostly kFullOptions
  std::optional<Encoding> encoding;    // unset: drawn from the seed
};

// The same case for the same arguments, on every machine.
Case generate_case(uint64_t seed, const GenerateOptions& options);

}  // namespace layerfs::oracle
