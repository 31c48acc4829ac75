#include "fs/tree/unplaced.h"

#include <fcntl.h>

#include <memory>
#include <utility>

namespace layerfs::tree {

void Unplaced::put(const Node& node, Way way) {
  const bool counts = way.fd != nullptr;
  {
    std::lock_guard lock(mutex_);
    std::swap(ways_[&node], way);
  }
  if (counts) descriptors_.add();
  if (way.fd != nullptr) descriptors_.drop();
}

void Unplaced::keep(const Node& node, FdRef fd) { put(node, Way{std::move(fd), {}}); }

void Unplaced::keep(const Node& node, sys::UniqueFd fd) {
  keep(node, std::make_shared<const sys::UniqueFd>(std::move(fd)));
}

void Unplaced::keep(const Node& node, sys::FileHandle handle) {
  put(node, Way{nullptr, std::move(handle)});
}

bool Unplaced::keep_by_handle(const Node& node, int dirfd, const char* name) {
  auto handle = sys::handle_of(dirfd, name);
  if (!handle || !open(*handle)) return false;
  keep(node, std::move(*handle));
  return true;
}

void Unplaced::copy(const Node& from, const Node& to) {
  Way way;
  {
    std::lock_guard lock(mutex_);
    const auto found = ways_.find(&from);
    if (found == ways_.end()) return;
    way = found->second;
  }
  put(to, std::move(way));
}

void Unplaced::erase(const Node& node) noexcept {
  Way erased;  // closed after the lock is given back
  {
    std::lock_guard lock(mutex_);
    const auto found = ways_.find(&node);
    if (found == ways_.end()) return;
    erased = std::move(found->second);
    ways_.erase(found);
  }
  if (erased.fd == nullptr) return;
  erased.fd.reset();
  descriptors_.drop();
}

Result<FdRef> Unplaced::open(const Node& node) const {
  sys::FileHandle handle;
  {
    std::lock_guard lock(mutex_);
    const auto found = ways_.find(&node);
    if (found == ways_.end()) return fail(ESTALE);
    if (found->second.fd != nullptr) return found->second.fd;
    handle = found->second.handle;
  }
  return open(handle);
}

Result<FdRef> Unplaced::open(const sys::FileHandle& handle) const {
  LAYERFS_TRY_ASSIGN(sys::UniqueFd fd, sys::open_handle(root_.get(), handle, O_PATH | O_NOFOLLOW));
  return FdRef(std::make_shared<const sys::UniqueFd>(std::move(fd)));
}

std::optional<sys::FileHandle> Unplaced::handle(const Node& node) const {
  std::lock_guard lock(mutex_);
  const auto found = ways_.find(&node);
  if (found == ways_.end() || found->second.fd != nullptr) return std::nullopt;
  return found->second.handle;
}

}  // namespace layerfs::tree
