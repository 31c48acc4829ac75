#include "tests/oracle/scratch_fs.h"

#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <stdexcept>

#include "tests/support/loop_fs.h"

namespace layerfs::oracle {
namespace {

constexpr uint64_t kImageSize = uint64_t{2} << 30;  // sparse

}  // namespace

Outcome<void> isolate_mounts() {
  if (::unshare(CLONE_NEWNS) != 0)
    return refuse("the oracle needs root for a mount namespace of its own", Errno::last());
  if (::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
    return refuse("mounts cannot be made private", Errno::last());
  // Where FUSE connections are aborted; mounted already on most machines.
  if (::access("/sys/fs/fuse/connections/.", F_OK) == 0)
    ::mount("fusectl", "/sys/fs/fuse/connections", "fusectl", 0, nullptr);
  return {};
}

ScratchFs::ScratchFs(const std::string& type)
    : path_(test::mount_new_fs(dir_, type, kImageSize).string()) {
  ::unlink((dir_ / (type + ".img")).c_str());
  if (::mount(nullptr, path_.c_str(), nullptr, MS_REMOUNT | MS_BIND | MS_NOATIME, nullptr) != 0)
    throw std::runtime_error("atime updates cannot be switched off on " + path_);
}

const std::string& isolated_ext4() {
  static const ScratchFs made = [] {
    const Outcome<void> isolated = isolate_mounts();
    if (!isolated) throw std::runtime_error(isolated.error().sentence);
    return ScratchFs("ext4");
  }();
  return made.path();
}

}  // namespace layerfs::oracle
