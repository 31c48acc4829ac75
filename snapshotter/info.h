// What containerd's snapshot service speaks of.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace layerfs::snapshotter {

// The numbers are those of the service and of the database.
enum class Kind { kView = 1, kActive = 2, kCommitted = 3 };

using Labels = std::map<std::string, std::string>;

// What the unpacker asks for by its chain ID, and by what it then finds it.
inline constexpr const char* kRefLabel = "containerd.io/snapshot.ref";
// What newer containerds tell of the layer that is being unpacked.
inline constexpr const char* kDiffIdLabel = "containerd.io/snapshot/diff-id";
inline constexpr const char* kUidMapLabel = "containerd.io/snapshot/uidmapping";
inline constexpr const char* kGidMapLabel = "containerd.io/snapshot/gidmapping";

struct Info {
  std::string name;
  std::string parent;  // empty: none
  Kind kind = Kind::kActive;
  std::int64_t created = 0;  // nanoseconds since the epoch
  std::int64_t updated = 0;
  Labels labels;

  friend bool operator==(const Info&, const Info&) = default;
};

struct Usage {
  std::int64_t size = 0;    // bytes on the disk
  std::int64_t inodes = 0;  // each once, however many names it has

  friend bool operator==(const Usage&, const Usage&) = default;
};

// One mount(8): containerd carries it out.
struct Mount {
  std::string type;
  std::string source;
  std::vector<std::string> options;
};

}  // namespace layerfs::snapshotter
