#include "fs/tree/dir_fds.h"

#include <sys/resource.h>

#include <algorithm>

namespace layerfs::tree {
namespace {

std::size_t fitting_capacity() {
  constexpr std::size_t kMost = 1024;
  rlimit files = {};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0) return kMost;
  return std::min<std::size_t>(kMost, files.rlim_cur / 4);
}

}  // namespace

DirFds::DirFds() : DirFds(fitting_capacity()) {}

DirFds::DirFds(std::size_t capacity) : shard_capacity_(capacity / 8 + 1) {}

FdRef DirFds::find(std::uint64_t key) {
  Shard& s = shard(key);
  std::lock_guard lock(s.mutex);
  auto it = s.by_key.find(key);
  if (it == s.by_key.end()) return nullptr;
  s.recent.splice(s.recent.begin(), s.recent, it->second);
  return it->second->fd;
}

FdRef DirFds::insert(std::uint64_t key, sys::UniqueFd fd) {
  auto ref = std::make_shared<const sys::UniqueFd>(std::move(fd));
  FdRef evicted;  // closed after the lock is given back
  Shard& s = shard(key);
  std::lock_guard lock(s.mutex);
  auto [it, fresh] = s.by_key.try_emplace(key);
  if (!fresh) return it->second->fd;
  s.recent.push_front(Slot{key, ref});
  it->second = s.recent.begin();
  if (s.recent.size() > shard_capacity_) {
    evicted = std::move(s.recent.back().fd);
    s.by_key.erase(s.recent.back().key);
    s.recent.pop_back();
  }
  return ref;
}

void DirFds::erase(std::uint64_t key) {
  FdRef erased;
  Shard& s = shard(key);
  std::lock_guard lock(s.mutex);
  auto it = s.by_key.find(key);
  if (it == s.by_key.end()) return;
  erased = std::move(it->second->fd);
  s.recent.erase(it->second);
  s.by_key.erase(it);
}

void DirFds::clear() {
  for (Shard& s : shards_) {
    std::list<Slot> closed;  // after the lock is given back
    std::lock_guard lock(s.mutex);
    closed.swap(s.recent);
    s.by_key.clear();
  }
}

}  // namespace layerfs::tree
