// A mount served by the test's own process, so that a test sees what the daemon sees.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>

#include "fs/fuse/session.h"

namespace layerfs::test {

// Mounts, and serves on threads of its own until the object goes. Throws std::runtime_error with
// the sentence if it can't be mounted. The process's umask is 0 from then on.
class LiveMount {
 public:
  explicit LiveMount(const fuse::MountOptions& options);
  ~LiveMount();
  LiveMount(const LiveMount&) = delete;
  LiveMount& operator=(const LiveMount&) = delete;

  fuse::Session& session() { return *session_; }

  // The requests that `action` makes, by kind. Waits for what the kernel sends late (RELEASE) and
  // leaves FORGET out, which the kernel sends when it likes.
  std::map<std::string, std::uint64_t> requests_of(const std::function<void()>& action);

 private:
  std::map<std::string, std::uint64_t> settled_counts() const;

  std::unique_ptr<fuse::Session> session_;
  std::thread server_;
};

}  // namespace layerfs::test
