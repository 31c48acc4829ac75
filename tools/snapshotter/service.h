// The snapshot service over gRPC.
#pragma once

#include <memory>

#include "fs/sys/unique_fd.h"
#include "snapshotter/snapshotter.h"

namespace layerfs::snapshotter {

// Answers clients until it dies; then it waits for the calls that are under way. Thread-safe.
class Service {
 public:
  // `snapshots` outlives it.
  explicit Service(Snapshotter& snapshots);
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;
  ~Service();

  // Serves the client at the other end of a connected socket.
  void serve(sys::UniqueFd connection);

 private:
  class Server;
  std::unique_ptr<Server> server_;
};

}  // namespace layerfs::snapshotter
