#include "fs/layer/index_mapping.h"

#include <dirent.h>
#include <linux/limits.h>
#include <sys/stat.h>

namespace layerfs::layer {
bool is_index_name(std::string_view name) {
  return !name.empty() && name.size() <= NAME_MAX && name != "." && name != ".." &&
         std::memchr(name.data(), '/', name.size()) == nullptr &&
         std::memchr(name.data(), '\0', name.size()) == nullptr;
}

Result<format::Inode> Index::Mapping::directory(IndexSlot slot) const {
  LAYERFS_TRY_ASSIGN(const format::Inode dir, inode(slot));
  if (!S_ISDIR(dir.mode)) return fail(ENOTDIR);
  if (std::uint64_t{dir.first} + dir.count > header.entry_count) return fail(EIO);
  return dir;
}

Result<IndexedEntry> Index::Mapping::decode(IndexSlot dir, const format::Entry& entry) const {
  LAYERFS_TRY_ASSIGN(const std::string_view name, text(entry.name, entry.name_length));
  if (!is_index_name(name)) return fail(EIO);
  if (entry.inode == kNoSlot) return IndexedEntry{name, entry.hash, kNoSlot, DT_UNKNOWN};
  LAYERFS_TRY_ASSIGN(const format::Inode target, inode(entry.inode));
  if (entry.type != IFTODT(target.mode)) return fail(EIO);
  // Directories come behind their parents: no tree is endless.
  if (S_ISDIR(target.mode) && entry.inode <= dir) return fail(EIO);
  return IndexedEntry{name, entry.hash, entry.inode, entry.type};
}

std::size_t Index::Mapping::lower_bound(const format::Inode& dir, std::uint64_t hash) const {
  std::size_t begin = dir.first;
  std::size_t count = dir.count;
  while (count > 0) {
    const std::size_t half = count / 2;
    if (entry(begin + half).hash < hash) {
      begin += half + 1;
      count -= half + 1;
    } else {
      count = half;
    }
  }
  return begin;
}

Result<std::size_t> Index::Mapping::lower_bound(const format::Inode& dir, std::uint64_t hash,
                                                std::string_view name) const {
  std::size_t begin = dir.first;
  std::size_t count = dir.count;
  while (count > 0) {
    const std::size_t half = count / 2;
    const format::Entry middle = entry(begin + half);
    bool before = middle.hash < hash;
    if (middle.hash == hash) {
      LAYERFS_TRY_ASSIGN(const std::string_view there, text(middle.name, middle.name_length));
      before = there < name;
    }
    if (before) begin += half + 1;
    count = before ? count - half - 1 : half;
  }
  return begin;
}

}  // namespace layerfs::layer
