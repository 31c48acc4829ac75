// What readers and writers of the index share; for their implementation only.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>

#include "fs/layer/index.h"
#include "fs/layer/index_format.h"
#include "fs/sys/mapped_file.h"

namespace layerfs::layer {

namespace format = index_format;

// Whether it names an entry of a directory and nothing else.
bool is_index_name(std::string_view name);

// The mapped file. Positions come from the file itself: every access is checked against the sizes
// of the sections, which open() has checked against the size of the mapping.
struct Index::Mapping {
  sys::MappedFile file;
  format::Header header;  // a copy

  // Counts one use of the mapping. A tree is walked once and then known to the kernel: what was
  // read for it shall not stay in the daemon's memory. Mapping pages again costs far less than the
  // requests between two unloads.
  static constexpr std::uint32_t kUsesPerUnload = 128;
  mutable std::atomic<std::uint32_t> uses{0};
  void count_use() const {
    if (uses.fetch_add(1, std::memory_order_relaxed) % kUsesPerUnload == kUsesPerUnload - 1)
      file.unload();
  }

  std::size_t entries_at() const {
    return sizeof(format::Header) + std::size_t{header.inode_count} * sizeof(format::Inode);
  }
  std::size_t text_at() const {
    return entries_at() + std::size_t{header.entry_count} * sizeof(format::Entry);
  }

  template <typename T>
  T load(std::size_t offset) const {
    T value;
    std::memcpy(&value, file.data() + offset, sizeof value);
    return value;
  }

  Result<format::Inode> inode(IndexSlot slot) const {
    if (slot >= header.inode_count) return fail(EIO);
    return load<format::Inode>(sizeof(format::Header) + std::size_t{slot} * sizeof(format::Inode));
  }
  // `position` is below entry_count.
  format::Entry entry(std::size_t position) const {
    return load<format::Entry>(entries_at() + position * sizeof(format::Entry));
  }
  // The text and the NUL behind it lie within the section.
  Result<std::string_view> text(std::uint32_t offset, std::uint32_t length) const {
    const std::uint64_t end = std::uint64_t{offset} + length;
    if (end >= header.text_size) return fail(EIO);
    const auto* begin = reinterpret_cast<const char*>(file.data() + text_at() + offset);
    if (begin[length] != '\0') return fail(EIO);
    return std::string_view(begin, length);
  }

  Result<format::Inode> directory(IndexSlot slot) const;
  Result<IndexedEntry> decode(IndexSlot dir, const format::Entry& entry) const;
  // The position of the first entry of `dir` with this hash or a larger one.
  std::size_t lower_bound(const format::Inode& dir, std::uint64_t hash) const;
  // The same, of those with this very hash the first with this name or a larger one: names may
  // collide by intent.
  Result<std::size_t> lower_bound(const format::Inode& dir, std::uint64_t hash,
                                  std::string_view name) const;
};

}  // namespace layerfs::layer
