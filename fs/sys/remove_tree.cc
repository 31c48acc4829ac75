#include "fs/sys/remove_tree.h"

#include <unistd.h>

#include <string>
#include <utility>
#include <vector>

#include "fs/sys/at.h"
#include "fs/sys/descent.h"
#include "fs/sys/dirent.h"
#include "fs/sys/file.h"

namespace layerfs::sys {
namespace {

using Names = std::vector<std::string>;

// Whether it is gone; else it is a directory that is not empty.
Result<bool> remove_one(int dirfd, const char* name) {
  const auto unlinked = unlink_at(dirfd, name);
  if (unlinked) return true;
  // Some file systems say EPERM of a directory, and others of what must not be removed.
  if (unlinked.error() != Errno(EISDIR) && unlinked.error() != Errno(EPERM))
    return fail(unlinked.error());
  const auto removed = remove_dir(dirfd, name);
  if (removed) return true;
  if (removed.error() == Errno(ENOTDIR)) return fail(unlinked.error());
  if (removed.error() == Errno(ENOTEMPTY) || removed.error() == Errno(EEXIST)) return false;
  return fail(removed.error());
}

// What is not there any more has been removed, by whoever did it.
Result<bool> remove_within(int dirfd, const char* name) {
  auto removed = remove_one(dirfd, name);
  if (!removed && removed.error() == Errno(ENOENT)) return true;
  return removed;
}

// Removes what the directory holds but for directories that are not empty: their names.
Result<Names> remove_entries(int dirfd) {
  Names names;
  LAYERFS_TRY(read_dir(dirfd, [&](const Dirent& entry) -> Result<void> {
    names.emplace_back(entry.name);
    return {};
  }));
  Names full;
  for (std::string& name : names) {
    LAYERFS_TRY_ASSIGN(const bool removed, remove_within(dirfd, name.c_str()));
    if (!removed) full.push_back(std::move(name));
  }
  return full;
}

// Of a container's directory the owner may have no right to it; root needs none.
void let_owner_in(int dirfd, const char* name) {
  if (::geteuid() != 0) (void)chmod_at(At(dirfd, name), 0700);
}

Result<void> remove_below(Descent& at) {
  std::vector<Names> pending;  // by level: directories that are not empty
  LAYERFS_TRY_ASSIGN(Names first, remove_entries(at.fd()));
  pending.push_back(std::move(first));
  for (;;) {
    if (pending.back().empty()) {
      pending.pop_back();
      if (pending.empty()) return {};
      const std::string name = at.name();
      LAYERFS_TRY(at.leave());
      // What was put into it meanwhile stays, and so does the directory.
      LAYERFS_TRY_ASSIGN(const bool removed, remove_within(at.fd(), name.c_str()));
      if (!removed) return fail(ENOTEMPTY);
      continue;
    }
    const std::string name = std::move(pending.back().back());
    pending.back().pop_back();
    let_owner_in(at.fd(), name.c_str());
    LAYERFS_TRY(at.enter(name.c_str()));
    LAYERFS_TRY_ASSIGN(Names full, remove_entries(at.fd()));
    pending.push_back(std::move(full));
  }
}

}  // namespace

Result<void> remove_tree(int dirfd, const char* name) {
  LAYERFS_TRY_ASSIGN(const bool removed, remove_one(dirfd, name));
  if (removed) return {};
  let_owner_in(dirfd, name);
  LAYERFS_TRY_ASSIGN(Descent at, Descent::from(dirfd, name));
  LAYERFS_TRY(remove_below(at));
  return remove_dir(dirfd, name);
}

}  // namespace layerfs::sys
