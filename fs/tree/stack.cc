#include "fs/tree/stack.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>

#include <algorithm>

#include "fs/layer/origin.h"
#include "fs/sys/copy.h"
#include "fs/sys/file.h"
#include "fs/sys/mount.h"
#include "fs/sys/xattr.h"
#include "fs/tree/overlap.h"

namespace layerfs::tree {
namespace {

// overlayfs's xino keeps the file system's position above this bit; inode numbers of real file
// systems end below it.
constexpr int kFileSystemShift = 56;

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

bool is_stacked(int dirfd) {
  struct statfs about;
  if (::fstatfs(dirfd, &about) != 0) return true;
  const auto type = static_cast<unsigned long>(about.f_type);
  return type == OVERLAYFS_SUPER_MAGIC || type == FUSE_SUPER_MAGIC;
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

}  // namespace

Outcome<std::unique_ptr<Stack>> Stack::open(const StackOptions& options) {
  if (options.lowerdirs.empty() && options.upperdir.empty())
    return refuse("there is nothing to mount: give lowerdir=, upperdir= or both");
  if (options.lowerdirs.empty() && !options.datadirs.empty())
    return refuse("data-only layers need a lower directory that leads to their files", EINVAL);
  if (options.upperdir.empty() != options.workdir.empty())
    return refuse(options.workdir.empty() ? "upperdir needs a workdir on the same file system"
                                          : "workdir is of use with an upperdir only");
  LAYERFS_TRY(check_apart(options));
  std::unique_ptr<Stack> stack(new Stack(options));
  stack->recorded_owners_ = layer::RecordedOwners::of_this_process(options.recorded_owners_shown);
  if (!options.upperdir.empty()) LAYERFS_TRY(stack->open_upper());
  LAYERFS_TRY(stack->open_lowers());
  return stack;
}

Outcome<void> Stack::open_lowers() {
  for (const std::string& path : options_.lowerdirs) {
    const std::size_t position = layers_.size();
    const std::string index =
        position < options_.layer_indexes.size() ? options_.layer_indexes[position] : "";
    LAYERFS_TRY_ASSIGN(std::unique_ptr<layer::Layer> layer,
                       layer::Layer::open(path, index, options_.user_xattr, recorded_owners_));
    if (layer->records().any())
      names_.add_private(layer::OwnerRecords::xattr_of(layer->records().kind()));
    add_file_system(layer->device(), layer->root());
    auto root = std::make_unique<LowerDir>();
    root->layer = layer.get();
    root->key = root_key(layers_.size());
    root->position = static_cast<std::uint32_t>(layers_.size());
    if (layer->index() != nullptr) root->slot = layer::kIndexRoot;
    roots_.emplace_back(std::move(root));
    layers_.push_back(std::move(layer));
  }
  for (const std::string& path : options_.datadirs) {
    LAYERFS_TRY_ASSIGN(std::unique_ptr<layer::Layer> layer,
                       layer::Layer::open(path, "", options_.user_xattr, recorded_owners_));
    data_only_.add(std::move(layer));
  }
  return {};
}

Outcome<void> Stack::open_upper() {
  const std::string& path = options_.upperdir;
  auto root = sys::open_path(path.c_str(), O_PATH | O_DIRECTORY);
  if (!root) return refuse("upperdir '" + path + "' cannot be opened as a directory", root.error());
  auto st = sys::stat_fd(root->get());
  if (!st) return refuse("upperdir '" + path + "' cannot be read", st.error());
  auto work_root = sys::open_path(options_.workdir.c_str(), O_RDONLY | O_DIRECTORY);
  if (!work_root)
    return refuse("workdir '" + options_.workdir + "' cannot be opened as a directory",
                  work_root.error());
  auto work_st = sys::stat_fd(work_root->get());
  if (!work_st || work_st->st_dev != st->st_dev)
    return refuse("workdir '" + options_.workdir + "' and upperdir '" + path +
                      "' must be on the same file system",
                  EXDEV);
  const std::string upper_path = real_path(root->get()), work_path = real_path(work_root->get());
  if (is_beneath(upper_path, work_path) || is_beneath(work_path, upper_path))
    return refuse("workdir '" + options_.workdir + "' and upperdir '" + path +
                      "' must be two separate directories",
                  EINVAL);
  if (auto cloned = open_cloned(upper_path, work_path, options_.atime);
      cloned && is_same(cloned->upper.get(), *st) && is_same(cloned->work.get(), *work_st)) {
    *root = std::move(cloned->upper);
    *work_root = std::move(cloned->work);
  }
  LAYERFS_TRY(check_xattrs(root->get(), path, names_));
  LAYERFS_TRY_ASSIGN(auto work, WorkDir::open(std::move(*work_root), options_.workdir,
                                              options_.volatile_upper, options_.index));
  LAYERFS_TRY_ASSIGN(auto records, open_records(root->get()));
  add_file_system(st->st_dev, root->get());
  const bool ordered = sys::orders_metadata(root->get());
  upper_ = Upper{std::move(*root), st->st_dev, std::move(work), ordered, std::move(records)};
  return {};
}

Outcome<layer::OwnerRecords> Stack::open_records(int root) {
  const sys::At at(root);
  layer::RecordKind kind = layer::OwnerRecords::find(at);
  const bool is_new = kind == layer::RecordKind::kNone;
  if (is_new) kind = options_.record_owners;
  if (kind == layer::RecordKind::kNone) return layer::OwnerRecords();
  names_.add_private(layer::OwnerRecords::xattr_of(kind));
  layer::OwnerRecords records(kind, recorded_owners_);
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

void Stack::add_file_system(dev_t device, int dirfd) {
  if (file_system(device) != nullptr) return;
  auto readable = sys::open_beneath(dirfd, "", O_RDONLY | O_DIRECTORY);
  file_systems_.push_back({device, readable ? sys::filesystem_uuid(readable->get()) : sys::Uuid{}});
}

const Stack::FileSystem* Stack::file_system(dev_t device) const {
  auto it = std::find_if(file_systems_.begin(), file_systems_.end(),
                         [&](const FileSystem& fs) { return fs.device == device; });
  return it == file_systems_.end() ? nullptr : &*it;
}

bool Stack::may_have_xattrs() const {
  return upper_ || std::any_of(layers_.begin(), layers_.end(), [](const auto& layer) {
           return layer->index() == nullptr || layer->index()->xattr_kinds() != 0;
         });
}

bool Stack::lies_on_stacked() const {
  return (upper_ && is_stacked(upper_->root.get())) ||
         std::any_of(layers_.begin(), layers_.end(),
                     [](const auto& layer) { return is_stacked(layer->root()); }) ||
         data_only_.any_root(is_stacked);
}

ino_t Stack::map_ino(dev_t device, ino_t ino) const {
  const FileSystem* fs = file_system(device);
  if (fs == nullptr) return ino;
  const auto position = static_cast<ino_t>(fs - file_systems_.data());
  return (position << kFileSystemShift) | ino;
}

std::optional<ino_t> Stack::origin_ino(const std::string& value) const {
  auto origin = layer::parse_origin(value);
  if (!origin) return std::nullopt;
  auto fs = std::find_if(file_systems_.begin(), file_systems_.end(),
                         [&](const FileSystem& f) { return f.uuid == origin->uuid; });
  if (fs == file_systems_.end()) return std::nullopt;
  auto ino = layer::inode_number(origin->handle);
  if (!ino) return std::nullopt;
  return map_ino(fs->device, *ino);
}

Result<struct stat> Stack::origin_stat(const std::string& value) const {
  const auto origin = layer::parse_origin(value);
  if (!origin) return fail(ESTALE);
  for (const auto& layer : layers_) {
    const FileSystem* fs = file_system(layer->device());
    if (fs == nullptr || fs->uuid != origin->uuid) continue;
    LAYERFS_TRY_ASSIGN(const sys::UniqueFd root,
                       sys::open_beneath(layer->root(), "", O_RDONLY | O_DIRECTORY));
    LAYERFS_TRY_ASSIGN(const sys::UniqueFd file,
                       layer::open_origin(root.get(), fs->uuid, *origin, O_PATH));
    return sys::stat_fd(file.get());
  }
  return fail(ESTALE);
}

std::string Stack::make_origin(dev_t device, int dirfd, const char* name) const {
  const FileSystem* fs = file_system(device);
  if (fs == nullptr) return {};
  auto origin = layer::origin_of(dirfd, name, fs->uuid);
  if (!origin) return {};
  return layer::format_origin(*origin).value_or(std::string());
}

}  // namespace layerfs::tree
