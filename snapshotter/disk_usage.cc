#include "snapshotter/disk_usage.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "fs/sys/unique_fd.h"
#include "layerstore/file_util.h"

namespace layerfs::snapshotter {

namespace {

constexpr int kOpenDir = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

class Walk {
 public:
  Result<Usage> run(int root) {
    sys::UniqueFd dir(::openat(root, ".", kOpenDir));
    struct stat status;
    if (!dir || ::fstat(dir.get(), &status) != 0) return fail(errno);
    device_ = status.st_dev;
    count(status);
    LAYERFS_TRY(enter(dir.get(), status.st_ino));
    while (!levels_.empty()) {
      if (levels_.back().pending.empty()) {
        LAYERFS_TRY(leave(dir));
      } else {
        LAYERFS_TRY(descend(dir));
      }
    }
    return usage_;
  }

 private:
  struct Level {
    ino_t inode;
    std::vector<std::string> pending;  // directories still to visit
  };

  void count(const struct stat& status) {
    if (!S_ISDIR(status.st_mode) && status.st_nlink > 1 && !linked_.insert(status.st_ino).second) {
      return;
    }
    ++usage_.inodes;
    usage_.size += static_cast<std::int64_t>(status.st_blocks) * 512;
  }

  // Counts what the directory holds.
  Result<void> enter(int dir, ino_t inode) {
    Level level{inode, {}};
    LAYERFS_TRY_ASSIGN(const std::vector<std::string> names, store::list_dir(dir, "."));
    for (const std::string& name : names) {
      struct stat status;
      if (::fstatat(dir, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
        if (errno == ENOENT) continue;
        return fail(errno);
      }
      if (status.st_dev != device_) continue;
      count(status);
      if (S_ISDIR(status.st_mode)) level.pending.push_back(name);
    }
    levels_.push_back(std::move(level));
    return {};
  }

  Result<void> descend(sys::UniqueFd& dir) {
    const std::string name = std::move(levels_.back().pending.back());
    levels_.back().pending.pop_back();
    sys::UniqueFd child(::openat(dir.get(), name.c_str(), kOpenDir));
    if (!child) {
      if (errno == ENOENT || errno == ENOTDIR || errno == ELOOP) return {};
      return fail(errno);
    }
    struct stat status;
    if (::fstat(child.get(), &status) != 0) return fail(errno);
    LAYERFS_TRY(enter(child.get(), status.st_ino));
    dir = std::move(child);
    return {};
  }

  Result<void> leave(sys::UniqueFd& dir) {
    levels_.pop_back();
    if (levels_.empty()) return {};
    sys::UniqueFd parent(::openat(dir.get(), "..", kOpenDir));
    struct stat status;
    if (!parent || ::fstat(parent.get(), &status) != 0) return fail(errno);
    // Somebody moved the directory away: what is above it now is not ours.
    if (status.st_ino != levels_.back().inode || status.st_dev != device_) return fail(ESTALE);
    dir = std::move(parent);
    return {};
  }

  dev_t device_ = 0;
  std::vector<Level> levels_;
  std::set<ino_t> linked_;
  Usage usage_;
};

}  // namespace

Result<Usage> disk_usage(int dirfd) { return Walk().run(dirfd); }

}  // namespace layerfs::snapshotter
