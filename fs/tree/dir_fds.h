// Descriptors of directories in use, bounded in number.
#pragma once

#include <array>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "fs/sys/unique_fd.h"

namespace layerfs::tree {

// A shared descriptor: stays open while anyone uses it, whatever the cache does.
using FdRef = std::shared_ptr<const sys::UniqueFd>;

// Keeps the most recently used directory descriptors (O_PATH). Since a directory's inode in a layer
// never changes, an entry is never wrong. Thread-safe.
class DirFds {
 public:
  // As many as take no more than a quarter of what the process may have.
  DirFds();
  explicit DirFds(std::size_t capacity);

  FdRef find(std::uint64_t key);
  FdRef insert(std::uint64_t key, sys::UniqueFd fd);
  void erase(std::uint64_t key);
  // Closes what nobody uses.
  void clear();

 private:
  struct Slot {
    std::uint64_t key;
    FdRef fd;
  };
  struct alignas(64) Shard {
    std::mutex mutex;
    std::list<Slot> recent;  // front: used last
    std::unordered_map<std::uint64_t, std::list<Slot>::iterator> by_key;
  };
  Shard& shard(std::uint64_t key) { return shards_[key % shards_.size()]; }

  std::array<Shard, 8> shards_;
  const std::size_t shard_capacity_;
};

}  // namespace layerfs::tree
