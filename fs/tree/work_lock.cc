#include "fs/tree/work_lock.h"

#include <fcntl.h>
#include <time.h>

#include <algorithm>

#include <spdlog/spdlog.h>

#include "fs/sys/file.h"
#include "fs/tree/work_dir.h"

namespace layerfs::tree {
namespace {

// Nobody wakes who waits for a lock and for the end of an announcement, so it looks again and
// again.
constexpr long kShortestPause = 1'000'000;
constexpr long kLongestPause = 20'000'000;
// Together two seconds, which a daemon has to hear that its mount is gone.
constexpr int kTriesInUse = 110;
// Three seconds; then whoever waits is told what for.
constexpr int kTriesInSilence = 160;

bool is_ending(int root) {
  const auto work = sys::open_beneath(root, kWorkName, O_RDONLY | O_DIRECTORY);
  if (!work) return false;
  const auto free = sys::lock_shared(work->get());
  return !free && free.error() == Errno(EWOULDBLOCK);
}

// Pauses grow with `tries`.
void pause(int tries) {
  const timespec length = {0, std::min(kShortestPause * (1 + tries), kLongestPause)};
  ::nanosleep(&length, nullptr);
}

}  // namespace

Outcome<void> lock_work_dir(int root, const std::string& path) {
  int tries_in_use = 0;
  for (int tries = 0;; ++tries) {
    const auto locked = sys::lock_exclusive(root);
    if (locked) return {};
    if (locked.error() != Errno(EWOULDBLOCK))
      return refuse("workdir '" + path + "' cannot be locked", locked.error());
    tries_in_use = is_ending(root) ? 0 : tries_in_use + 1;
    if (tries_in_use > kTriesInUse)
      return refuse("workdir '" + path +
                        "' and its upperdir are in use by another mount; unmount that first "
                        "(layerfs ps lists the mounts)",
                    EBUSY);
    if (tries == kTriesInSilence)
      spdlog::warn(
          "workdir '{}' was in use until now: waiting for its daemon, which still writes to the "
          "disk",
          path);
    pause(tries);
  }
}

Outcome<void> lock_upper(int root, const std::string& path) {
  for (int tries = 0;; ++tries) {
    const auto locked = sys::lock_exclusive(root);
    if (locked) return {};
    if (locked.error() != Errno(EWOULDBLOCK))
      return refuse("upperdir '" + path + "' cannot be locked", locked.error());
    if (tries == kTriesInUse)
      return refuse("upperdir '" + path +
                        "' is in use by another mount; unmount that first (layerfs ps lists the "
                        "mounts)",
                    EBUSY);
    pause(tries);
  }
}

void announce_end(int work) noexcept {
  // Who looks for it holds the lock for a moment. Any other failure costs whoever waits some time.
  for (;;) {
    const auto locked = sys::lock_exclusive(work);
    if (locked || locked.error() != Errno(EWOULDBLOCK)) return;
    pause(0);
  }
}

}  // namespace layerfs::tree
