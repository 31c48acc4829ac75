// Names of archive entries, taken apart.
#pragma once

#include <string>
#include <string_view>

#include "fs/sys/failure.h"

namespace layerfs::store {

// A place in a layer: the directory it is in, relative to the layer's root ("" for the root itself,
// no leading, trailing or double slash, no "." or ".."), and one valid name. The root directory has
// no name.
struct EntryPath {
  std::string parent;
  std::string name;

  bool is_root() const { return name.empty(); }
  std::string text() const { return parent.empty() ? name : parent + "/" + name; }
};

// What an entry is called: "./usr/bin/x", "usr/bin/", "./". Refuses an absolute name (but "/",
// which some writers call the root), any "..", and names of more than 255 bytes.
Outcome<EntryPath> parse_entry_path(std::string_view raw);

// What a hard link points to: the same, but that a leading slash means the layer's root, as it does
// in a container.
Outcome<EntryPath> parse_link_target(std::string_view raw);

}  // namespace layerfs::store
