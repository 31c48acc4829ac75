// The layer index on disk. doc/layer-index.md says what the fields mean.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace layerfs::layer::index_format {

inline constexpr std::uint64_t kMagic = 0x58444952'4559414cULL;  // "LAYERIDX", little-endian
inline constexpr std::uint32_t kVersion = 2;

inline constexpr std::uint32_t kUserXattr = 1;
inline constexpr std::uint32_t kAufsWhiteouts = 2;

struct Header {
  std::uint64_t magic = kMagic;
  std::uint32_t version = kVersion;
  std::uint32_t flags = 0;
  std::uint64_t file_size = 0;
  std::uint64_t body_checksum = 0;
  std::uint64_t header_checksum = 0;
  std::uint32_t inode_count = 0;
  std::uint32_t entry_count = 0;
  std::uint32_t text_size = 0;
  std::uint32_t xattrs = 0;
  std::uint64_t root_ino = 0;
  std::int64_t root_ctime = 0;
  std::uint32_t root_ctime_ns = 0;
  std::uint32_t block_size = 0;
  std::array<std::byte, 48> reserved = {};
};
static_assert(sizeof(Header) == 128 && offsetof(Header, reserved) == 80);

struct Inode {
  std::uint64_t ino = 0;
  std::uint64_t size = 0;
  std::uint64_t blocks = 0;
  std::int64_t atime = 0;
  std::int64_t mtime = 0;
  std::int64_t ctime = 0;
  std::uint32_t atime_ns = 0;
  std::uint32_t mtime_ns = 0;
  std::uint32_t ctime_ns = 0;
  std::uint32_t mode = 0;
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::uint32_t nlink = 0;
  std::uint32_t flags = 0;
  std::uint32_t first = 0;
  std::uint32_t count = 0;
  std::uint32_t text = 0;
  std::uint32_t text_length = 0;
};
static_assert(sizeof(Inode) == 96 && offsetof(Inode, first) == 80);

struct Entry {
  std::uint64_t hash = 0;
  std::uint32_t name = 0;
  std::uint32_t inode = 0;
  std::uint8_t name_length = 0;
  std::uint8_t type = 0;
  std::uint16_t reserved = 0;
  std::uint32_t reserved2 = 0;
};
static_assert(sizeof(Entry) == 24);

// What `header_checksum` has to be.
std::uint64_t header_checksum(Header header);
std::uint64_t checksum(const void* data, std::size_t size);

// The checksum of what comes piece by piece.
class Checksum {
 public:
  Checksum();
  ~Checksum();
  Checksum(const Checksum&) = delete;
  Checksum& operator=(const Checksum&) = delete;

  void add(const void* data, std::size_t size);
  std::uint64_t value() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace layerfs::layer::index_format
