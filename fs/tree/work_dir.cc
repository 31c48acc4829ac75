#include "fs/tree/work_dir.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <exception>
#include <vector>

#include "fs/sys/credentials.h"
#include "fs/sys/dirent.h"
#include "fs/sys/file.h"
#include "fs/sys/remove_tree.h"
#include "fs/sys/xattr.h"
#include "fs/tree/volatile_mark.h"
#include "fs/tree/work_lock.h"

namespace layerfs::tree {
namespace {

constexpr const char* kIndex = "index";

Result<sys::UniqueFd> make_and_open(int dirfd, const char* name) {
  auto made = sys::make_dir(dirfd, name, 0700);
  if (!made && made.error() != Errno(EEXIST)) return fail(made.error());
  LAYERFS_TRY_ASSIGN(sys::UniqueFd fd, sys::open_beneath(dirfd, name, O_RDONLY | O_DIRECTORY));
  // Everything made here would get what the directory above gives to its children.
  LAYERFS_TRY(sys::drop_inherited(fd.get(), 0700));
  return fd;
}

Result<std::vector<std::string>> names_in(int dirfd) {
  std::vector<std::string> names;
  LAYERFS_TRY(sys::read_dir(dirfd, [&](const sys::Dirent& entry) -> Result<void> {
    names.emplace_back(entry.name);
    return {};
  }));
  return names;
}

}  // namespace

Outcome<std::unique_ptr<WorkDir>> WorkDir::open(sys::UniqueFd root, const std::string& path,
                                                bool is_volatile, bool with_index) {
  std::unique_ptr<WorkDir> work(new WorkDir);
  work->root_ = std::move(root);
  LAYERFS_TRY(lock_work_dir(work->root_.get(), path));
  LAYERFS_TRY(work->prepare(path, is_volatile, with_index));
  return work;
}

// One is made and removed. A full file system says nothing about what it can hold.
Outcome<void> WorkDir::check_whiteouts(const std::string& path) {
  const std::string name = new_name();
  const auto made = sys::make_node(work_.get(), name.c_str(), S_IFCHR, 0);
  if (made) {
    discard(name);
  } else if (made.error() == Errno(EPERM) || made.error() == Errno(EOPNOTSUPP) ||
             made.error() == Errno(EINVAL)) {
    return refuse("workdir '" + path +
                      "' is on a file system that cannot hold whiteouts (character devices 0:0), "
                      "which mark what is removed; choose upperdir and workdir on another",
                  made.error());
  }
  return {};
}

Outcome<void> WorkDir::prepare(const std::string& path, bool is_volatile, bool with_index) {
  auto work = make_and_open(root_.get(), kWorkName);
  if (!work) return refuse("workdir '" + path + "' cannot be prepared", work.error());
  work_ = std::move(*work);
  LAYERFS_TRY(check_volatile_mark(work_.get(), path));
  LAYERFS_TRY(is_volatile ? leave_volatile_mark(work_.get(), path)
                          : settle_volatile_mark(work_.get(), path));
  auto names = names_in(work_.get());
  if (!names) return refuse("workdir '" + path + "' cannot be read", names.error());
  for (const std::string& name : *names) {
    if (name == kIncompat) continue;
    if (auto removed = sys::remove_tree(work_.get(), name.c_str()); !removed)
      return refuse("workdir '" + path + "' cannot be cleaned", removed.error());
  }
  LAYERFS_TRY(check_whiteouts(path));
  if (with_index) {
    auto index = make_and_open(root_.get(), kIndex);
    if (!index) return refuse("workdir '" + path + "' cannot hold an index", index.error());
    index_ = std::move(*index);
    auto indexed = names_in(index_.get());
    index_in_use_ = !indexed || !indexed->empty();
  }
  return {};
}

WorkDir::~WorkDir() {
  cleaner_.finish();
  drop_whiteout();
}

Result<std::vector<std::string>> WorkDir::index_entries() const { return names_in(index_.get()); }

std::string WorkDir::new_name() {
  return "#" + std::to_string(next_.fetch_add(1, std::memory_order_relaxed));
}

Result<void> WorkDir::link_whiteout(int dirfd, const char* name) {
  if (whiteout_.empty()) {
    std::string fresh = new_name();
    sys::create_as_daemon();
    LAYERFS_TRY(sys::make_node(work_.get(), fresh.c_str(), S_IFCHR | 0, makedev(0, 0)));
    whiteout_ = fresh;
  }
  return sys::link_at(work_.get(), whiteout_.c_str(), dirfd, name);
}

Result<void> WorkDir::make_whiteout(int dirfd, const char* name) {
  std::lock_guard lock(whiteout_mutex_);
  auto linked = link_whiteout(dirfd, name);
  // EMLINK: the inode has all the links it can have. ENOENT: somebody cleaned the work directory.
  if (linked || (linked.error() != Errno(EMLINK) && linked.error() != Errno(ENOENT))) return linked;
  drop_whiteout();
  return link_whiteout(dirfd, name);
}

void WorkDir::drop_whiteout() noexcept {
  if (!whiteout_.empty()) discard(whiteout_);
  whiteout_.clear();
}

void WorkDir::discard(const std::string& name) noexcept {
  try {
    (void)sys::remove_tree(work_.get(), name.c_str());
  } catch (const std::exception&) {
    // For want of memory it stays.
  }
}

void WorkDir::announce_end() noexcept { tree::announce_end(work_.get()); }

void WorkDir::discard_later(const std::string& name) noexcept {
  if (!cleaner_.take(name)) discard(name);
}

void WorkDir::clean(const Cleaner::Names& names) noexcept {
  {
    // Each name that an inode loses or gets locks it (vfs_unlink(), vfs_link()): whiteouts made
    // meanwhile are links of another one.
    const std::lock_guard lock(whiteout_mutex_);
    drop_whiteout();
  }
  for (const std::string& name : names) discard(name);
}

}  // namespace layerfs::tree
