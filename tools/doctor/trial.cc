#include "tools/doctor/trial.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <sstream>
#include <vector>

#include "tools/container/place.h"
#include "tools/mounting.h"
#include "tools/runtime_state.h"
#include "tools/unmounting.h"

namespace layerfs::tools {

namespace {

namespace stdfs = std::filesystem;

// A directory with an empty layer and a mount point.
class Ground {
 public:
  static Outcome<Ground> make() {
    std::error_code failed;
    std::string path = (stdfs::temp_directory_path(failed) / "layerfs-doctor-XXXXXX").string();
    if (failed || ::mkdtemp(path.data()) == nullptr) {
      return refuse("no directory can be made in $TMPDIR or /tmp", Errno::last());
    }
    Ground ground(std::move(path));
    for (const std::string& directory : {ground.layer(), ground.mountpoint()}) {
      if (::mkdir(directory.c_str(), 0755) != 0) {
        return refuse("'" + directory + "' cannot be made", Errno::last());
      }
    }
    return ground;
  }
  Ground(Ground&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  Ground& operator=(Ground&&) = delete;
  ~Ground() {
    if (path_.empty()) return;
    // One by one: what is still mounted there stays.
    for (const std::string& directory : {layer(), mountpoint(), path_}) ::rmdir(directory.c_str());
  }

  std::string layer() const { return path_ + "/layer"; }
  std::string mountpoint() const { return path_ + "/mount"; }

 private:
  explicit Ground(std::string path) : path_(std::move(path)) {}

  std::string path_;
};

Outcome<std::string> read_and_unmount(const std::string& mountpoint) {
  std::error_code failed;
  const bool empty = stdfs::is_empty(mountpoint, failed);
  LAYERFS_TRY_ASSIGN(const std::vector<LiveMount> mounts, live_mounts());
  LAYERFS_TRY_ASSIGN(const LiveMount mount, find_mount(mounts, mountpoint));
  LAYERFS_TRY(unmount_one(mount, fuse::Unmount::kNow));
  if (failed) return refuse("it cannot be read", Errno(failed.value()));
  if (!empty) return refuse("it does not show what is there", EIO);
  return mount.record.transport;
}

}  // namespace

Outcome<std::string> try_mount() {
  LAYERFS_TRY_ASSIGN(const Ground ground, Ground::make());
  keep_mounts_to_oneself();
  MountOrder order;
  order.request.mount.stack.lowerdirs = {ground.layer()};
  order.request.mount.stack.layer_indexes = {""};
  order.request.mount.mountpoint = ground.mountpoint();
  order.request.mount.read_only = true;
  std::ostringstream nobody;
  Io io{nobody, nobody};
  LAYERFS_TRY(carry_out(std::move(order), io));
  return read_and_unmount(ground.mountpoint());
}

}  // namespace layerfs::tools
