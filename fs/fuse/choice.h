// What a mount without wishes of its own gets from this machine.
#pragma once

#include <string>

namespace layerfs::fuse {

struct TransportChoice {
  bool io_uring = false;  // else /dev/fuse
  std::string reason;     // why not io_uring, a sentence; empty if it is
};

// The transport of a mount with `transport=auto` and no number of threads.
TransportChoice automatic_transport();

}  // namespace layerfs::fuse
