#include "fs/tree/unplaced.h"

#include <fcntl.h>

#include <memory>
#include <utility>

namespace layerfs::tree {

void Unplaced::put(NodeId id, Way way) {
  const bool counts = way.fd != nullptr;
  {
    std::lock_guard lock(mutex_);
    std::swap(ways_[id], way);
  }
  if (counts) descriptors_.add();
  if (way.fd != nullptr) descriptors_.drop();
}

void Unplaced::keep(NodeId id, FdRef fd) { put(id, Way{std::move(fd), {}}); }

void Unplaced::keep(NodeId id, sys::UniqueFd fd) {
  keep(id, std::make_shared<const sys::UniqueFd>(std::move(fd)));
}

void Unplaced::keep(NodeId id, sys::FileHandle handle) { put(id, Way{nullptr, std::move(handle)}); }

bool Unplaced::keep_by_handle(NodeId id, int dirfd, const char* name) {
  auto handle = sys::handle_of(dirfd, name);
  if (!handle || !open(*handle)) return false;
  keep(id, std::move(*handle));
  return true;
}

void Unplaced::copy(NodeId from, NodeId to) {
  Way way;
  {
    std::lock_guard lock(mutex_);
    const auto found = ways_.find(from);
    if (found == ways_.end()) return;
    way = found->second;
  }
  put(to, std::move(way));
}

void Unplaced::erase(NodeId id) noexcept {
  Way erased;  // closed after the lock is given back
  {
    std::lock_guard lock(mutex_);
    const auto found = ways_.find(id);
    if (found == ways_.end()) return;
    erased = std::move(found->second);
    ways_.erase(found);
  }
  if (erased.fd == nullptr) return;
  erased.fd.reset();
  descriptors_.drop();
}

Result<FdRef> Unplaced::open(NodeId id) const {
  sys::FileHandle handle;
  {
    std::lock_guard lock(mutex_);
    const auto found = ways_.find(id);
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

std::optional<sys::FileHandle> Unplaced::handle(NodeId id) const {
  std::lock_guard lock(mutex_);
  const auto found = ways_.find(id);
  if (found == ways_.end() || found->second.fd != nullptr) return std::nullopt;
  return found->second.handle;
}

}  // namespace layerfs::tree
