// A containerd of the test's own.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>

#include "tests/support/command.h"

namespace layerfs::test {

// Runs containerd with root, state and socket below a directory, for as long as it lives. Throws
// if it doesn't answer within 20 seconds.
class Containerd {
 public:
  // `more` is added to its configuration.
  explicit Containerd(const std::filesystem::path& dir, const std::string& more = "");
  ~Containerd();
  Containerd(const Containerd&) = delete;
  Containerd& operator=(const Containerd&) = delete;

  // Imports the OCI archive, unpacking it with the overlayfs snapshotter.
  void import(const std::filesystem::path& archive) const;

  // Mounts the topmost layer and all below it read-only at `point`, with the kernel's overlayfs.
  // Only for a containerd that has imported a single image.
  void mount_view(const std::filesystem::path& point) const;

  // Ends it by this signal, or starts it again. Containers go on meanwhile.
  void stop(int signal);
  void start();

  // `ctr` in the namespace "test".
  Ran ctr(const std::string& arguments) const;

 private:
  // What `ctr snapshots` prints; throws if it fails.
  std::string snapshots(const std::string& arguments) const;
  std::string topmost() const;

  std::filesystem::path dir_;
  pid_t process_ = -1;
};

}  // namespace layerfs::test
