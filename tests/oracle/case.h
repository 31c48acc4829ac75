// A test case: the lower layers, the mount options and the operations. Everything that a run
// depends on is in it, so that its text is a replayable script.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "fs/sys/failure.h"
#include "tests/oracle/op.h"
#include "tests/oracle/text.h"

namespace layerfs::oracle {

enum class EntryKind { kDir, kFile, kSymlink, kHardLink, kDevice, kWhiteout };

// One name of a lower layer. Parents that a layer does not list are made as plain directories.
struct Entry {
  EntryKind kind = EntryKind::kFile;
  std::string path;
  int64_t mode = 0644;  // with type bits for kDevice
  int64_t uid = 0;
  int64_t gid = 0;
  int64_t mtime = 1000000000;  // seconds; the nanoseconds are derived from it
  int64_t device = 0;          // of a device node
  int64_t size = 0;            // of a file
  int64_t fill = 0;            // of a file: its pattern
  bool sparse = false;         // a file with data in its first and last 4 KiB only
  bool opaque = false;         // a directory that hides what lies below
  std::string target;          // of a symlink; of a hard link, a path of the same layer
  std::vector<Word> xattrs;
};

using LayerTree = std::vector<Entry>;

// How whiteouts and opaque marks are written in the lower layers.
enum class Encoding {
  kDevice,  // 0:0 character devices, both sides
  kXattr,   // overlay.whiteout xattrs, both sides
  kAufs,    // `.wh.` names for the subject, 0:0 devices for the kernel
};

struct Case {
  uint64_t seed = 0;    // where it was generated from; 0 for one written by hand
  std::string options;  // mount options beside the directories, the same for both sides
  Encoding encoding = Encoding::kDevice;
  int64_t upper_mode = 0755;
  std::vector<LayerTree> layers;  // topmost first, at least one
  std::vector<Op> ops;

  // Whether the overlay xattrs are in the `user.` namespace.
  bool userxattr() const { return options.find("userxattr") != std::string::npos; }
};

std::string to_text(const Case& test);
Outcome<Case> parse_case(std::string_view text);

std::string to_text(const Entry& entry);

// `len` bytes of pattern `fill` as they stand from offset `off` of a file.
std::string pattern(int64_t fill, int64_t off, int64_t len);

}  // namespace layerfs::oracle
