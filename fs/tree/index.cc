// Files with several lower names: what work/index/ holds of them, and how many names they have.
//
// overlay.nlink tells the union's count relative to the upper inode's ("U-1"). While a name is made
// in the upper that inode's count is about to change, so it is relative to the lower inode's
// ("L+0") then, which never does: whenever the daemon dies, the count is known.
#include <fcntl.h>

#include <algorithm>

#include "fs/layer/marks.h"
#include "fs/layer/origin.h"
#include "fs/sys/file.h"
#include "fs/sys/xattr.h"
#include "fs/tree/tree.h"

namespace layerfs::tree {
namespace {

Result<std::optional<layer::NlinkMark>> read_nlink(const sys::At& at,
                                                   const layer::XattrNames& names) {
  LAYERFS_TRY_ASSIGN(const auto value, sys::find_xattr(at, names.mark(layer::mark::kNlink)));
  if (!value) return std::nullopt;
  return layer::parse_nlink(*value);
}

}  // namespace

Result<int> Tree::union_nlink(const sys::At& at, const struct stat& st, const LowerFile& lower) {
  const int own = static_cast<int>(st.st_nlink);
  LAYERFS_TRY_ASSIGN(const auto mark, read_nlink(at, stack_->names()));
  if (!mark) return own;
  // The mark of a removed inode still counts the name in the index that is gone.
  if (mark->of_upper) return std::max(own + mark->difference, 0);
  if (lower.dir != nullptr) {
    LAYERFS_TRY_ASSIGN(const struct stat from, lower_stat(lower.dir, lower.name));
    return static_cast<int>(from.st_nlink) + mark->difference;
  }
  // Without the privilege to ask for it, what is there is the best guess.
  LAYERFS_TRY_ASSIGN(const auto origin,
                     sys::find_xattr(at, stack_->names().mark(layer::mark::kOrigin)));
  const auto from =
      origin ? stack_->file_systems().find(*origin) : Result<struct stat>(fail(ENODATA));
  return from ? static_cast<int>(from->st_nlink) + mark->difference : own;
}

Result<void> Tree::settle_before_change(int inode, const LowerFile& lower) {
  const sys::At at(inode);
  LAYERFS_TRY_ASSIGN(const auto mark, read_nlink(at, stack_->names()));
  if (!mark || mark->of_upper) return {};
  LAYERFS_TRY_ASSIGN(const struct stat st, sys::stat_fd(inode));
  LAYERFS_TRY_ASSIGN(const int count, union_nlink(at, st, lower));
  return sys::set_xattr(at, stack_->names().mark(layer::mark::kNlink),
                        layer::format_nlink({true, count - static_cast<int>(st.st_nlink)}));
}

void Tree::settle_nlink(int inode, int count) noexcept {
  // If this fails the mark that is there says the same.
  if (auto st = sys::stat_fd(inode))
    (void)sys::set_xattr(sys::At(inode), stack_->names().mark(layer::mark::kNlink),
                         layer::format_nlink({true, count - static_cast<int>(st->st_nlink)}));
}

Result<void> Tree::link_indexed(int inode, const LowerFile& lower, int dirfd, const Name& name) {
  const sys::At at(inode);
  LAYERFS_TRY_ASSIGN(const struct stat st, sys::stat_fd(inode));
  LAYERFS_TRY_ASSIGN(const struct stat from, lower_stat(lower.dir, lower.name));
  LAYERFS_TRY_ASSIGN(const int count, union_nlink(at, st, lower));
  LAYERFS_TRY(
      sys::set_xattr(at, stack_->names().mark(layer::mark::kNlink),
                     layer::format_nlink({false, count - static_cast<int>(from.st_nlink)})));
  auto linked = sys::link_fd(inode, dirfd, name.c_str());
  settle_nlink(inode, count);
  return linked;
}

void Tree::drop_from_index(int inode) noexcept {
  const WorkDir& work = *upper()->work;
  if (!work.index_in_use()) return;
  const sys::At at(inode);
  auto st = sys::stat_fd(inode);
  if (!st) return;
  auto mark = read_nlink(at, stack_->names());
  if (!mark || !*mark || !(*mark)->of_upper) return;
  if (static_cast<int>(st->st_nlink) + (*mark)->difference > 0) return;
  // Best effort: the next mount removes what is left.
  if (auto origin = sys::get_xattr(at, stack_->names().mark(layer::mark::kOrigin)))
    (void)sys::unlink_at(work.index(), layer::index_name(*origin).c_str());
}

Outcome<void> Tree::recover_index() {
  const Upper* upper = this->upper();
  if (upper == nullptr || !upper->work->index_in_use()) return {};
  auto names = upper->work->index_entries();
  if (!names) return refuse("the index in the workdir cannot be read", names.error());
  for (const std::string& name : *names)
    if (auto recovered = recover_index_entry(name); !recovered)
      return refuse("the index in the workdir cannot be put in order", recovered.error());
  return {};
}

Result<void> Tree::recover_index_entry(const std::string& name) {
  const int index = upper()->work->index();
  LAYERFS_TRY_ASSIGN(const sys::UniqueFd fd, sys::open_entry(index, name.c_str()));
  LAYERFS_TRY_ASSIGN(const struct stat st, sys::stat_fd(fd.get()));
  // Of directories, and of files that have no count, kernel overlayfs takes care.
  if (S_ISDIR(st.st_mode)) return {};
  LAYERFS_TRY_ASSIGN(const auto mark, read_nlink(sys::At(fd.get()), stack_->names()));
  if (!mark) return {};
  int count = static_cast<int>(st.st_nlink) + mark->difference;
  if (!mark->of_upper) {
    const auto origin = layer::parse_index_name(name);
    if (!origin) {
      upper()->reporter.ignored(sys::At(index, name.c_str()),
                                "its name in the index does not say what it is the copy of");
      return {};
    }
    auto lower = stack_->file_systems().find(*origin);
    if (!lower) return {};  // of another layer, or without the privilege to ask
    count = static_cast<int>(lower->st_nlink) + mark->difference;
    settle_nlink(fd.get(), count);
  }
  if (count > 0) return {};
  return sys::unlink_at(index, name.c_str());
}

}  // namespace layerfs::tree
