// Single system calls on a small tree, each of which must happen whole or not at all.
#pragma once

#include <string>
#include <vector>

namespace layerfs::test {

struct Operation {
  const char* name;
  // What is done before, and never fails; may be null.
  bool (*prepare)(int root);
  // The one call; false if it fails.
  bool (*act)(int root);
  // The data of a metacopy follows.
  bool completes_data = false;
};

const std::vector<Operation>& operations();

// The lower layers that they work on: top/ and bottom/ in `dir`.
void make_crash_layers(const std::string& dir);

}  // namespace layerfs::test
