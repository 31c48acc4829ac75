#include "fs/op/open_files.h"

#include <fcntl.h>

#include <algorithm>
#include <new>

#include "fs/layer/program.h"
#include "fs/sys/file.h"
#include "fs/sys/inode_marks.h"

namespace layerfs::op {
namespace {

using tree::Node;

DataFd share(sys::UniqueFd fd) { return std::make_shared<const sys::UniqueFd>(std::move(fd)); }

}  // namespace

bool opens_for_writing(int flags) {
  return (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC) != 0;
}

OpenFile* OpenFiles::open_file(Guard& guard, const Node& node) {
  auto it = guard.open.find(node.id);
  return it == guard.open.end() ? nullptr : it->second.get();
}

OpenFiles::~OpenFiles() {
  for (Guard& guard : guards_)
    for (Kept& kept : guard.kept) end(std::move(kept.file));
}

std::optional<bool> OpenFiles::wants_passthrough(const Node& node, const OpenFile& file) const {
  if (backing_ == nullptr || policy_ == PassthroughPolicy::kNone) return false;
  if (file.upper || policy_ == PassthroughPolicy::kAll) return true;
  if (policy_ == PassthroughPolicy::kUpper) return false;
  if (tree_.upper() == nullptr) return true;
  return tree_.is_program(node);
}

Result<DataFd> OpenFiles::opened_data(Node& node, int flags) {
  auto shape = tree_.enter();
  LAYERFS_TRY_ASSIGN(sys::UniqueFd fd, tree_.open_data(shape, node, flags));
  return share(std::move(fd));
}

Result<void> OpenFiles::start(Node& node, OpenFile& file, bool write, sys::UniqueFd opened) {
  file.upper = tree::Tree::has_upper_data(node);
  file.writable = write;
  const std::optional<bool> wanted = wants_passthrough(node, file);
  // A lower file that the kernel may have in its page cache: opened by the first read that comes.
  if (wanted == false && !file.upper && !write) return {};
  if (opened) {
    file.data = share(std::move(opened));
  } else {
    LAYERFS_TRY_ASSIGN(file.data, opened_data(node, write ? O_RDWR : O_RDONLY));
  }
  // A read error is that of the reads that follow, through the page cache.
  if (!(wanted ? *wanted : layer::is_program(file.data->get()).value_or(false))) return {};
  if (!file.upper && tree_.upper() != nullptr) {
    LAYERFS_TRY_ASSIGN(const struct stat st, sys::stat_fd(file.data->get()));
    file.lower_size = {st.st_size, st.st_blocks};
  }
  // A file whose kind the kernel cannot back (a stacked file system too deep, say) is served
  // cached.
  if (auto id = backing_->open(file.data->get())) {
    file.backing = *id;
    file.passthrough = true;
    file.backing_writable = write;
  }
  return {};
}

// Goes on with what was kept of `node`; false if there is nothing of use.
Result<bool> OpenFiles::resume(Guard& guard, Node& node, bool write) {
  std::unique_ptr<OpenFile> file = take_kept(guard, node.id);
  if (file == nullptr) return false;
  if (file->upper != tree::Tree::has_upper_data(node)) {
    end(std::move(file));
    return false;
  }
  if (write) {
    // The kernel would open it, too, but could not say why it fails.
    auto data = opened_data(node, O_RDWR);
    if (!data) {
      const Errno error = data.error();
      end(std::move(file));
      return fail(error);
    }
    file->data = std::move(*data);
    file->writable = true;
  }
  enter(guard, node, std::move(file));
  return true;
}

Result<void> OpenFiles::open_node(Guard& guard, Node& node, bool write, sys::UniqueFd opened) {
  if (!opened) {
    LAYERFS_TRY_ASSIGN(const bool resumed, resume(guard, node, write));
    if (resumed) return {};
  }
  auto file = std::make_unique<OpenFile>();
  LAYERFS_TRY(start(node, *file, write, std::move(opened)));
  enter(guard, node, std::move(file));
  return {};
}

void OpenFiles::enter(Guard& guard, Node& node, std::unique_ptr<OpenFile> file) {
  guard.open[node.id] = std::move(file);
  tree_.pin(node);
}

std::unique_ptr<OpenFile> OpenFiles::leave(Guard& guard, Node& node) noexcept {
  auto file = std::move(guard.open.extract(node.id).mapped());
  auto shape = tree_.enter();
  tree_.unpin(shape, node);
  return file;
}

std::unique_ptr<OpenFile> OpenFiles::take_kept(Guard& guard, NodeId id) noexcept {
  const auto found = std::ranges::find(guard.kept, id, &Kept::id);
  if (found == guard.kept.end()) return nullptr;
  std::unique_ptr<OpenFile> file = std::move(found->file);
  guard.kept.erase(found);
  return file;
}

// Returns what has to be ended instead, or null. Only what holds nothing open for writing is kept:
// that would keep the file system below from being made read-only.
std::unique_ptr<OpenFile> OpenFiles::keep(Guard& guard, NodeId id,
                                          std::unique_ptr<OpenFile> file) noexcept {
  if (!file->passthrough || file->backing_writable) return file;
  // The kernel has its own; whoever wants one here opens it.
  file->data.reset();
  file->writable = false;
  std::unique_ptr<OpenFile> oldest;
  if (guard.kept.size() == kKeptPerGuard) {
    oldest = std::move(guard.kept.back().file);
    guard.kept.pop_back();
  }
  try {
    guard.kept.insert(guard.kept.begin(), Kept{id, nullptr});
  } catch (const std::bad_alloc&) {
    end(std::move(oldest));
    return file;
  }
  guard.kept.front().file = std::move(file);
  return oldest;
}

void OpenFiles::end(std::unique_ptr<OpenFile> file) noexcept {
  if (file != nullptr && file->passthrough) backing_->close(file->backing);
}

// Makes `data` of a cached file what the node's data is now, open as it has to be.
Result<void> OpenFiles::refresh(Node& node, OpenFile& file, bool write) {
  const bool upper = tree::Tree::has_upper_data(node);
  if (file.upper == upper && (file.writable || !write)) return {};
  const bool writable = write || file.writable;
  LAYERFS_TRY_ASSIGN(file.data, opened_data(node, writable ? O_RDWR : O_RDONLY));
  file.upper = upper;
  file.writable = writable;
  return {};
}

// The marks of the upper file itself, which somebody else has set. What the kernel finds as it
// reopens the backing of a passthrough file it reports as EIO.
Result<void> OpenFiles::allow_write(Node& node, OpenFile& file, int flags) {
  if (file.data == nullptr) {
    LAYERFS_TRY_ASSIGN(file.data, opened_data(node, O_RDONLY));
  }
  LAYERFS_TRY_ASSIGN(const sys::InodeMarks marks, sys::holding_marks(sys::At(file.data->get())));
  const bool appends = (flags & O_APPEND) != 0 && (flags & O_TRUNC) == 0;
  if (marks.immutable || (marks.append_only && !appends)) return fail(EPERM);
  return {};
}

// Refuses O_DIRECT where the file system of the layer does, as kernel overlayfs does. The kernel
// would report it as EIO if it reopened the backing of a passthrough file, and not at all if the
// file is cached.
Result<void> OpenFiles::allow_direct(Node& node, OpenFile& file, int flags) {
  if ((flags & O_DIRECT) == 0) return {};
  if (file.data == nullptr) {
    LAYERFS_TRY_ASSIGN(file.data, opened_data(node, O_RDONLY));
  }
  LAYERFS_TRY(sys::reopen(file.data->get(), O_RDONLY | O_DIRECT));
  return {};
}

// Makes sure that one more open may use `file`, which is the node's.
Result<void> OpenFiles::allow(Node& node, OpenFile& file, int flags, bool created, Walk walk) {
  const bool write = created || opens_for_writing(flags);
  const bool outdated = file.passthrough && file.upper != tree::Tree::has_upper_data(node);
  if (outdated && (write || walk == Walk::kMayBeRepeated)) {
    // The kernel keeps one backing per inode while it is open, and this one reads the lower file.
    tree_.supersede(node);
    return fail(ESTALE);
  }
  if (!file.passthrough) {
    // The kernel would cache the pages of two inodes, each without the changes of the other.
    if (node.has(Node::kSuperseded)) return fail(ESTALE);
    LAYERFS_TRY(refresh(node, file, write));
  }
  if (write && !created) LAYERFS_TRY(allow_write(node, file, flags));
  return allow_direct(node, file, flags);
}

Result<Opened> OpenFiles::acquire(Node& node, int flags, Walk walk, sys::UniqueFd opened) {
  const bool created = static_cast<bool>(opened);
  Guard& guard = this->guard(node);
  std::unique_lock lock(guard.mutex);
  if (node.has(Node::kSuperseded) && walk == Walk::kMayBeRepeated) return fail(ESTALE);
  if (open_file(guard, node) == nullptr)
    LAYERFS_TRY(open_node(guard, node, created || opens_for_writing(flags), std::move(opened)));
  OpenFile& file = *open_file(guard, node);
  if (auto allowed = allow(node, file, flags, created, walk); !allowed) {
    if (file.opens == 0) end(leave(guard, node));
    return fail(allowed.error());
  }
  ++file.opens;
  Opened result;
  if (file.passthrough && (flags & O_ACCMODE) == O_RDWR && !node.has(Node::kMayBeMapped)) {
    node.set(Node::kMayBeMapped);
    result.ends_attr = true;
  }
  result.handle = 1;
  result.mode = file.passthrough ? IoMode::kPassthrough : IoMode::kCached;
  result.backing = file.backing;
  result.keep_cache = !file.passthrough;
  return result;
}

void OpenFiles::release(Node& node) noexcept {
  std::unique_ptr<OpenFile> ended;
  {
    Guard& guard = this->guard(node);
    std::lock_guard lock(guard.mutex);
    OpenFile* file = open_file(guard, node);
    if (file == nullptr || --file->opens > 0) return;
    const NodeId id = node.id;
    auto left = leave(guard, node);  // which may have been what the node lived by
    ended = keep(guard, id, std::move(left));
  }
  end(std::move(ended));
}

void OpenFiles::forget(NodeId id) noexcept {
  std::unique_ptr<OpenFile> ended;
  {
    Guard& guard = this->guard(id);
    std::lock_guard lock(guard.mutex);
    ended = take_kept(guard, id);
  }
  end(std::move(ended));
}

Result<DataFd> OpenFiles::data(Node& node) {
  {
    Guard& guard = this->guard(node);
    std::lock_guard lock(guard.mutex);
    if (OpenFile* known = open_file(guard, node)) {
      OpenFile& file = *known;
      if (!file.passthrough) LAYERFS_TRY(refresh(node, file, false));
      if (file.data == nullptr) {
        LAYERFS_TRY_ASSIGN(file.data, opened_data(node, O_RDONLY));
      }
      return file.data;
    }
  }
  return opened_data(node, O_RDONLY);
}

Result<DataFd> OpenFiles::writable_data(Node& node) {
  LAYERFS_TRY(tree_.copy_up(node, tree::CopyUpDepth::whole()));
  {
    Guard& guard = this->guard(node);
    std::lock_guard lock(guard.mutex);
    OpenFile* file = open_file(guard, node);
    if (file != nullptr && !file->passthrough) {
      LAYERFS_TRY(refresh(node, *file, true));
      return file->data;
    }
    if (file != nullptr && file->upper && file->writable) return file->data;
  }
  return opened_data(node, O_RDWR);
}

std::optional<DataSize> OpenFiles::outdated_size(const Node& node) {
  Guard& guard = this->guard(node);
  std::lock_guard lock(guard.mutex);
  const OpenFile* file = open_file(guard, node);
  if (file == nullptr || !node.has(Node::kSuperseded) || file->upper) return std::nullopt;
  return file->lower_size;
}

Result<void> OpenFiles::follow_copy_up(Node& node) {
  Guard& guard = this->guard(node);
  std::lock_guard lock(guard.mutex);
  OpenFile* file = open_file(guard, node);
  if (file == nullptr || file->passthrough) return {};
  return refresh(node, *file, false);
}

}  // namespace layerfs::op
