#include "fs/fuse/choice.h"

#include "fs/fuse/transport.h"

namespace layerfs::fuse {

TransportChoice automatic_transport() {
  if (!any_thread_answers()) {
    return {false,
            "this libfuse answers a request of io_uring only on the thread it came to, where what "
            "sleeps would hold up others; build with the one that tools/setup provides"};
  }
  if (const auto available = io_uring_available(); !available) {
    return {false, available.error().sentence};
  }
  return {true, {}};
}

}  // namespace layerfs::fuse
