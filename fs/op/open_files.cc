#include "fs/op/open_files.h"

#include <fcntl.h>

#include <array>
#include <cstring>

#include "fs/sys/file.h"

namespace layerfs::op {
namespace {

using tree::Node;
using tree::OpenFile;

// A program or a shared library: what nobody rewrites in place (package managers replace it by
// rename), and what is mapped most.
bool is_program(int fd) {
  auto st = sys::stat_fd(fd);
  if (st && (st->st_mode & 0111) != 0) return true;
  std::array<std::byte, 4> magic{};
  auto length = sys::read_at(fd, magic, 0);
  return length && *length == magic.size() && std::memcmp(magic.data(), "\177ELF", 4) == 0;
}

tree::DataFd share(sys::UniqueFd fd) {
  return std::make_shared<const sys::UniqueFd>(std::move(fd));
}

}  // namespace

bool OpenFiles::wants_passthrough(const Node& node, const OpenFile& file) const {
  if (backing_ == nullptr || policy_ == PassthroughPolicy::kNone) return false;
  if (file.upper || policy_ == PassthroughPolicy::kAll) return true;
  if (policy_ == PassthroughPolicy::kUpper) return false;
  if (tree_.upper() == nullptr) return true;
  const std::optional<bool> known = tree_.is_program(node);
  return known ? *known : is_program(file.data->get());
}

Result<void> OpenFiles::start(Node& node, OpenFile& file, bool write, sys::UniqueFd opened) {
  file.upper = tree::Tree::has_upper_data(node);
  file.writable = write;
  if (!opened) {
    auto shape = tree_.enter();
    LAYERFS_TRY_ASSIGN(opened, tree_.open_data(shape, node, write ? O_RDWR : O_RDONLY));
  }
  file.data = share(std::move(opened));
  if (!wants_passthrough(node, file)) return {};
  // A file whose kind the kernel cannot back (a stacked file system too deep, say) is served
  // cached.
  if (auto id = backing_->open(file.data->get())) {
    file.backing = *id;
    file.passthrough = true;
  }
  return {};
}

// Makes `data` of a cached file what the node's data is now, open as it has to be.
Result<void> OpenFiles::refresh(Node& node, OpenFile& file, bool write) {
  const bool upper = tree::Tree::has_upper_data(node);
  if (file.upper == upper && (file.writable || !write)) return {};
  auto shape = tree_.enter();
  const bool writable = write || file.writable;
  LAYERFS_TRY_ASSIGN(sys::UniqueFd fd, tree_.open_data(shape, node, writable ? O_RDWR : O_RDONLY));
  file.data = share(std::move(fd));
  file.upper = upper;
  file.writable = writable;
  return {};
}

Result<Opened> OpenFiles::acquire(Node& node, bool write, sys::UniqueFd opened) {
  std::unique_lock lock(guard(node));
  if (node.has(Node::kSuperseded)) return fail(ESTALE);
  if (node.open == nullptr) {
    auto file = std::make_unique<OpenFile>();
    LAYERFS_TRY(start(node, *file, write, std::move(opened)));
    node.open = std::move(file);
  }
  OpenFile& file = *node.open;
  if (file.passthrough && file.upper != tree::Tree::has_upper_data(node)) {
    // The kernel keeps one backing per inode while it is open, and this one reads the lower file.
    tree_.supersede(node);
    return fail(ESTALE);
  }
  if (!file.passthrough) LAYERFS_TRY(refresh(node, file, write));
  ++file.opens;
  Opened result;
  result.handle = 1;
  result.mode = file.passthrough ? IoMode::kPassthrough : IoMode::kCached;
  result.backing = file.backing;
  result.keep_cache = !file.passthrough;
  return result;
}

void OpenFiles::release(Node& node) noexcept {
  std::unique_ptr<OpenFile> last;
  {
    std::lock_guard lock(guard(node));
    if (node.open == nullptr || --node.open->opens > 0) return;
    last = std::move(node.open);
  }
  if (last->passthrough) backing_->close(last->backing);
}

Result<tree::DataFd> OpenFiles::data(Node& node) {
  {
    std::lock_guard lock(guard(node));
    if (node.open != nullptr) {
      if (!node.open->passthrough) LAYERFS_TRY(refresh(node, *node.open, false));
      return node.open->data;
    }
  }
  auto shape = tree_.enter();
  LAYERFS_TRY_ASSIGN(sys::UniqueFd fd, tree_.open_data(shape, node, O_RDONLY));
  return share(std::move(fd));
}

Result<tree::DataFd> OpenFiles::writable_data(Node& node) {
  LAYERFS_TRY(tree_.copy_up(node, tree::CopyUpDepth::whole()));
  {
    std::lock_guard lock(guard(node));
    if (node.open != nullptr && !node.open->passthrough) {
      LAYERFS_TRY(refresh(node, *node.open, true));
      return node.open->data;
    }
    if (node.open != nullptr && node.open->upper && node.open->writable) return node.open->data;
  }
  auto shape = tree_.enter();
  LAYERFS_TRY_ASSIGN(sys::UniqueFd fd, tree_.open_data(shape, node, O_RDWR));
  return share(std::move(fd));
}

Result<void> OpenFiles::follow_copy_up(Node& node) {
  std::lock_guard lock(guard(node));
  if (node.open == nullptr || node.open->passthrough) return {};
  return refresh(node, *node.open, false);
}

}  // namespace layerfs::op
