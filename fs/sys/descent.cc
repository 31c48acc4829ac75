#include "fs/sys/descent.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <utility>

#include "fs/sys/file.h"

namespace layerfs::sys {
namespace {

// Most trees are not deeper, and are walked without a look at "..".
constexpr std::size_t kMostOpen = 16;

Result<UniqueFd> open_directory(int dirfd, const char* name) {
  return open_beneath(dirfd, name, O_RDONLY | O_DIRECTORY);
}

}  // namespace

Result<Descent> Descent::from(int dirfd, const char* name) {
  Descent descent;
  // A path that stands alone leads where it says; in a directory nothing leads out of it.
  auto top = dirfd == AT_FDCWD ? open_path(name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
                               : open_directory(dirfd, name);
  if (!top) return fail(top.error());
  LAYERFS_TRY(descent.add({}, *std::move(top)));
  return descent;
}

Result<void> Descent::add(std::string name, UniqueFd fd) {
  LAYERFS_TRY_ASSIGN(const struct stat status, stat_fd(fd.get()));
  levels_.push_back({std::move(name), status.st_dev, status.st_ino});
  open_.push_back(std::move(fd));
  if (open_.size() > kMostOpen) open_.pop_front();
  return {};
}

Result<void> Descent::enter(const char* name) {
  LAYERFS_TRY_ASSIGN(UniqueFd fd, open_directory(open_.back().get(), name));
  return add(name, std::move(fd));
}

Result<void> Descent::leave() {
  if (open_.size() == 1) {
    LAYERFS_TRY_ASSIGN(UniqueFd parent, open_parent(open_.back().get()));
    LAYERFS_TRY_ASSIGN(const struct stat status, stat_fd(parent.get()));
    const Level& above = levels_[levels_.size() - 2];
    if (status.st_dev != above.device || status.st_ino != above.inode) return fail(ESTALE);
    open_.push_front(std::move(parent));
  }
  open_.pop_back();
  levels_.pop_back();
  return {};
}

std::string Descent::path() const {
  std::string path;
  for (std::size_t at = 1; at < levels_.size(); ++at) {
    if (!path.empty()) path += '/';
    path += levels_[at].name;
  }
  return path;
}

}  // namespace layerfs::sys
