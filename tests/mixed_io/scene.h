// A mount of two lower files for the fuzzer.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace layerfs::mixed_io {

// One way to mount.
struct Setting {
  const char* name;
  const char* options;  // of layerfs mount, beside the directories
};

const std::vector<Setting>& settings();

// Mounts by the program below `directory`, which is empty, lets the fuzzer do so many things, and
// compares what the files hold with the upper's after the unmount, and with a mount made again.
// Returns what was wrong, with seed and setting; empty: nothing.
std::string run_mounted(const std::filesystem::path& directory, const Setting& setting,
                        std::uint64_t seed, int actions);

// The same on the plain directory, without a mount: what it finds is a fault of the fuzzer.
std::string run_plain(const std::filesystem::path& directory, std::uint64_t seed, int actions);

}  // namespace layerfs::mixed_io
