#include "snapshotter/disk_usage.h"

#include <sys/stat.h>

#include <cerrno>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "fs/sys/descent.h"
#include "fs/sys/dirent.h"
#include "fs/sys/file.h"
#include "fs/sys/interruption.h"

namespace layerfs::snapshotter {

namespace {

class Walk {
 public:
  Result<Usage> run(int root) {
    LAYERFS_TRY_ASSIGN(sys::Descent at, sys::Descent::from(root));
    LAYERFS_TRY_ASSIGN(const struct stat status, sys::stat_fd(at.fd()));
    device_ = status.st_dev;
    count(status);
    LAYERFS_TRY(read(at));
    while (!pending_.empty()) {
      if (!pending_.back().empty()) {
        LAYERFS_TRY(descend(at));
        continue;
      }
      pending_.pop_back();
      if (!pending_.empty()) LAYERFS_TRY(at.leave());
    }
    return usage_;
  }

 private:
  void count(const struct stat& status) {
    if (!S_ISDIR(status.st_mode) && status.st_nlink > 1 && !linked_.insert(status.st_ino).second) {
      return;
    }
    ++usage_.inodes;
    usage_.size += static_cast<std::int64_t>(status.st_blocks) * 512;
  }

  // Counts what the directory holds.
  Result<void> read(const sys::Descent& at) {
    if (sys::interruption_requested()) return fail(EINTR);
    std::vector<std::string> directories;
    LAYERFS_TRY(sys::read_dir(at.fd(), [&](const sys::Dirent& entry) -> Result<void> {
      const Result<struct stat> status = sys::stat_at(at.fd(), entry.name);
      if (!status && status.error() == Errno(ENOENT)) return {};
      if (!status) return fail(status.error());
      if (status->st_dev != device_) return {};
      count(*status);
      if (S_ISDIR(status->st_mode)) directories.emplace_back(entry.name);
      return {};
    }));
    pending_.push_back(std::move(directories));
    return {};
  }

  Result<void> descend(sys::Descent& at) {
    const std::string name = std::move(pending_.back().back());
    pending_.back().pop_back();
    if (const Result<void> entered = at.enter(name.c_str()); !entered) {
      const int error = entered.error().code();
      if (error == ENOENT || error == ENOTDIR || error == ELOOP) return {};
      return entered;
    }
    return read(at);
  }

  dev_t device_ = 0;
  std::vector<std::vector<std::string>> pending_;  // by level: directories still to visit
  std::set<ino_t> linked_;
  Usage usage_;
};

}  // namespace

Result<Usage> disk_usage(int dirfd) { return Walk().run(dirfd); }

}  // namespace layerfs::snapshotter
