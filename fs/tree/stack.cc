#include "fs/tree/stack.h"

#include <fcntl.h>

#include <algorithm>

#include <spdlog/spdlog.h>

#include "fs/layer/marks.h"
#include "fs/layer/problem_log.h"
#include "fs/sys/copy.h"
#include "fs/sys/file.h"
#include "fs/sys/mount.h"
#include "fs/sys/xattr.h"
#include "fs/tree/overlap.h"
#include "fs/tree/work_lock.h"

namespace layerfs::tree {
namespace {

// Directories of the stack get cache keys from the other end than nodes (NodeTable::new_id).
std::uint64_t root_key(std::size_t position) { return ~std::uint64_t{position}; }

Outcome<void> check_xattrs(int dirfd, const std::string& path, const layer::XattrNames& names) {
  const std::string probe = names.mark("layerfs");
  const sys::At at(dirfd);
  if (auto set = sys::set_xattr(at, probe, layer::kYes); !set) {
    if (set.error() == Errno(EROFS))
      return refuse("upperdir '" + path + "' is on a read-only file system", EROFS);
    return refuse(
        "upperdir '" + path + "' is on a file system that cannot hold " + probe +
            " attributes, which whiteouts and opaque directories need" +
            (names.mark("").starts_with("trusted.") ? "; without root use the option userxattr"
                                                    : ""),
        set.error());
  }
  // The probe was set a moment ago; that it cannot be removed would show in the next line's user.
  (void)sys::remove_xattr(at, probe);
  return {};
}

bool is_beneath(const std::string& inner, const std::string& outer) {
  return inner == outer ||
         (inner.starts_with(outer) && (outer.ends_with('/') || inner[outer.size()] == '/'));
}

std::string real_path(int fd) {
  auto path = sys::readlink_at(AT_FDCWD, sys::fd_path(fd).c_str());
  return path ? *path : std::string();
}

bool is_same(int fd, const struct stat& st) {
  const auto other = sys::stat_fd(fd);
  return other && other->st_dev == st.st_dev && other->st_ino == st.st_ino;
}

struct UpperAndWork {
  sys::UniqueFd upper, work;
  struct stat st = {};       // of the upper
  bool shows_mounts = true;  // as in Upper
};

// Both through one private clone of their mount, as kernel overlayfs has them: so the file system
// can be unmounted where it is mounted, times of access follow our mount's options and not its, and
// what is mounted in the upper later does not show. One clone, since nothing is renamed from one
// mount to another.
Result<UpperAndWork> open_cloned(const std::string& upper, const std::string& work,
                                 sys::Atime atime) {
  const auto differ = std::mismatch(upper.begin(), upper.end(), work.begin(), work.end()).first;
  const std::size_t slash = upper.rfind('/', static_cast<std::size_t>(differ - upper.begin()));
  if (slash == std::string::npos) return fail(ENOENT);
  const std::size_t common = slash + 1;
  LAYERFS_TRY_ASSIGN(const sys::UniqueFd clone,
                     sys::open_clone(upper.substr(0, common).c_str(), atime));
  constexpr int kFlags = O_DIRECTORY;
  UpperAndWork both;
  LAYERFS_TRY_ASSIGN(both.upper,
                     sys::open_beneath(clone.get(), upper.c_str() + common, kFlags | O_PATH));
  LAYERFS_TRY_ASSIGN(both.work,
                     sys::open_beneath(clone.get(), work.c_str() + common, kFlags | O_RDONLY));
  return both;
}

Outcome<UpperAndWork> open_upper_and_work(const StackOptions& options) {
  const std::string& path = options.upperdir;
  auto root = sys::open_path(path.c_str(), O_PATH | O_DIRECTORY);
  if (!root) return refuse("upperdir '" + path + "' cannot be opened as a directory", root.error());
  auto st = sys::stat_fd(root->get());
  if (!st) return refuse("upperdir '" + path + "' cannot be read", st.error());
  auto work_root = sys::open_path(options.workdir.c_str(), O_RDONLY | O_DIRECTORY);
  if (!work_root)
    return refuse("workdir '" + options.workdir + "' cannot be opened as a directory",
                  work_root.error());
  auto work_st = sys::stat_fd(work_root->get());
  if (!work_st || work_st->st_dev != st->st_dev)
    return refuse("workdir '" + options.workdir + "' and upperdir '" + path +
                      "' must be on the same file system",
                  EXDEV);
  const std::string upper_path = real_path(root->get()), work_path = real_path(work_root->get());
  if (is_beneath(upper_path, work_path) || is_beneath(work_path, upper_path))
    return refuse("workdir '" + options.workdir + "' and upperdir '" + path +
                      "' must be two separate directories",
                  EINVAL);
  auto cloned = open_cloned(upper_path, work_path, options.atime);
  if (cloned && is_same(cloned->upper.get(), *st) && is_same(cloned->work.get(), *work_st))
    return UpperAndWork{std::move(cloned->upper), std::move(cloned->work), *st, false};
  return UpperAndWork{std::move(*root), std::move(*work_root), *st, true};
}

Outcome<sys::UniqueFd> take_upper(int root, const std::string& path) {
  auto lock = sys::open_beneath(root, "", O_RDONLY | O_DIRECTORY);
  if (!lock) return refuse("upperdir '" + path + "' cannot be opened", lock.error());
  LAYERFS_TRY(lock_upper(lock->get(), path));
  return std::move(*lock);
}

// Nobody keeps two mounts from this, and what reads may be of use.
void warn_of_live_upper(const StackOptions& options) {
  for (const std::string& lower : options.lowerdirs) {
    const auto root = sys::open_path(lower.c_str(), O_RDONLY | O_DIRECTORY);
    if (!root) continue;
    const auto free = sys::lock_shared(root->get());
    if (!free && free.error() == Errno(EWOULDBLOCK))
      spdlog::warn(
          "lowerdir '{}' is the upperdir of another mount; what is written there may not show here",
          lower);
  }
}

}  // namespace

Stack::Stack(const StackOptions& options) : options_(options), names_(options.user_xattr) {
  if (options_.observer == nullptr) options_.observer = std::make_shared<layer::ProblemLog>();
  // As the kernel's overlayfs: with userxattr the owner of a file could have it lead to any other.
  if (options_.user_xattr) options_.follow_redirects = false;
  if (options_.follow_redirects) return;
  options_.redirect_dir = false;
  options_.metacopy = false;
}

Outcome<std::unique_ptr<Stack>> Stack::open(const StackOptions& options) {
  if (options.lowerdirs.empty() && options.upperdir.empty())
    return refuse("there is nothing to mount: give lowerdir=, upperdir= or both");
  if (options.lowerdirs.empty() && !options.datadirs.empty())
    return refuse("data-only layers need a lower directory that leads to their files", EINVAL);
  if (options.upperdir.empty() != options.workdir.empty())
    return refuse(options.workdir.empty() ? "upperdir needs a workdir on the same file system"
                                          : "workdir is of use with an upperdir only");
  LAYERFS_TRY(check_apart(options));
  warn_of_live_upper(options);
  std::unique_ptr<Stack> stack(new Stack(options));
  stack->recorded_owners_ = layer::RecordedOwners::of_this_process(
      options.recorded_owners_shown, options.record_owners == layer::RecordKind::kContainers);
  if (!options.upperdir.empty()) LAYERFS_TRY(stack->open_upper());
  LAYERFS_TRY(stack->open_lowers());
  LAYERFS_TRY(stack->match_index_with_lowers());
  stack->numbers_ = std::make_unique<InodeNumbers>(options.xino, stack->file_systems_.devices());
  return stack;
}

Outcome<void> Stack::open_lowers() {
  for (const std::string& path : options_.lowerdirs) {
    const std::size_t position = layers_.size();
    layer::LayerSource source{path, ""};
    if (position < options_.layer_indexes.size()) source.index = options_.layer_indexes[position];
    if (position < options_.whiteouts.size()) source.whiteouts = options_.whiteouts[position];
    LAYERFS_TRY_ASSIGN(
        std::unique_ptr<layer::Layer> layer,
        layer::Layer::open(source, options_.user_xattr, recorded_owners_, *options_.observer));
    file_systems_.add_lower(layer->device(), layer->root());
    auto root = std::make_unique<LowerDir>();
    root->layer = layer.get();
    root->key = root_key(layers_.size());
    root->position = static_cast<std::uint32_t>(layers_.size());
    if (layer->index() != nullptr) root->slot = layer::kIndexRoot;
    roots_.emplace_back(std::move(root));
    layers_.push_back(std::move(layer));
  }
  for (const std::string& path : options_.datadirs) {
    LAYERFS_TRY_ASSIGN(
        std::unique_ptr<layer::Layer> layer,
        layer::Layer::open({path, "", layer::Whiteouts::kOverlay}, options_.user_xattr,
                           recorded_owners_, *options_.observer));
    data_only_.add(std::move(layer));
  }
  return {};
}

Outcome<void> Stack::open_upper() {
  LAYERFS_TRY_ASSIGN(UpperAndWork opened, open_upper_and_work(options_));
  const std::string& path = options_.upperdir;
  const int root = opened.upper.get();
  LAYERFS_TRY(check_xattrs(root, path, names_));
  LAYERFS_TRY_ASSIGN(auto work, WorkDir::open(std::move(opened.work), options_.workdir,
                                              options_.volatile_upper, options_.index));
  LAYERFS_TRY_ASSIGN(sys::UniqueFd lock, take_upper(root, path));
  layer::Reporter reporter(*options_.observer, path, root);
  LAYERFS_TRY_ASSIGN(auto records, open_records(root, reporter));
  file_systems_.add_upper(opened.st.st_dev, root);
  LAYERFS_TRY(take_index(root, opened.st, *work));
  upper_ = Upper{.root = std::move(opened.upper),
                 .lock = std::move(lock),
                 .device = opened.st.st_dev,
                 .work = std::move(work),
                 .orders_metadata = sys::orders_metadata(root),
                 .shows_mounts = opened.shows_mounts,
                 .records = std::move(records),
                 .reporter = std::move(reporter)};
  return {};
}

// The kernel's overlayfs marks the index in the same way, and refuses that of another upper, too.
Outcome<void> Stack::take_index(int root, const struct stat& st, const WorkDir& work) const {
  if (work.index() < 0) return {};
  const auto owner = file_systems_.origin_of(st, root, "", true);
  if (!owner)
    return refuse("the handle of upperdir '" + options_.upperdir + "' cannot be read",
                  owner.error());
  LAYERFS_TRY_ASSIGN(const bool is_ours, mark_index(work, layer::mark::kUpper, *owner));
  if (is_ours) return {};
  return refuse("the index in workdir '" + options_.workdir +
                    "' belongs to another upperdir than '" + options_.upperdir +
                    "': give the workdir that was used with this one, or an empty one, with which "
                    "hard links of lower files that were changed may break",
                ESTALE);
}

Outcome<void> Stack::match_index_with_lowers() {
  if (!upper_ || upper_->work->index() < 0) return {};
  for (const auto& layer : layers_) {
    if (!file_systems_.is_certain(layer->device())) continue;
    const auto st = sys::stat_fd(layer->root());
    const auto root = st ? file_systems_.origin_of(*st, layer->root(), "")
                         : Result<std::string>(fail(st.error()));
    if (!root)
      return refuse("the handle of lowerdir '" + layer->path() + "' cannot be read", root.error());
    LAYERFS_TRY_ASSIGN(const bool is_same, mark_index(*upper_->work, layer::mark::kLower, *root));
    if (is_same) return {};
    spdlog::warn(
        "the index in workdir '{}' was made over another lowerdir than '{}'; it is not used, and "
        "hard links of lower files that are changed break",
        options_.workdir, layer->path());
    upper_->work->leave_index();
    options_.index = false;
    return {};
  }
  return {};
}

Outcome<bool> Stack::mark_index(const WorkDir& work, std::string_view mark,
                                const std::string& value) const {
  if (value.empty()) return true;
  const sys::At at(work.index());
  const std::string name = names_.mark(mark);
  const std::string about = "the index in workdir '" + options_.workdir + "' ";
  const auto marked = sys::find_xattr(at, name);
  if (!marked) return refuse(about + "cannot be read", marked.error());
  if (*marked == value) return true;
  if (*marked && work.index_in_use()) return false;
  if (const auto set = sys::set_xattr(at, name, value); !set)
    return refuse(about + "cannot be marked with what it belongs to", set.error());
  return true;
}

Outcome<layer::OwnerRecords> Stack::open_records(int root, const layer::Reporter& reporter) {
  const sys::At at(root);
  const auto found = layer::OwnerRecords::find(at, recorded_owners_, reporter);
  if (!found) return refuse("the xattrs of the upperdir cannot be listed", found.error());
  layer::RecordKind kind = *found;
  const bool is_new = kind == layer::RecordKind::kNone;
  if (is_new) kind = options_.record_owners;
  if (kind == layer::RecordKind::kNone) return layer::OwnerRecords();
  layer::OwnerRecords records(kind, recorded_owners_, reporter);
  if (!is_new) return records;
  const auto st = sys::stat_fd(root);
  // By it, whoever uses the upper later knows that it has records.
  const auto begun = st ? records.write(at, *st) : fail(st.error());
  if (!begun)
    return refuse(std::string("owners cannot be recorded in ") +
                      layer::OwnerRecords::xattr_of(kind) + " of the upperdir",
                  begun.error());
  return records;
}

bool Stack::lies_on_stacked() const {
  return (upper_ && is_stacked(upper_->root.get())) ||
         std::any_of(layers_.begin(), layers_.end(),
                     [](const auto& layer) { return is_stacked(layer->root()); }) ||
         data_only_.any_root(is_stacked);
}

bool Stack::keeps_links(dev_t device, mode_t type) const {
  if (!options_.index || !file_systems_.is_certain(device)) return false;
  // The index finds a copy by its overlay.origin, and user.* xattrs are for files and directories.
  return !options_.user_xattr || S_ISREG(type);
}

}  // namespace layerfs::tree
