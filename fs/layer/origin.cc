#include "fs/layer/origin.h"

#include <cstring>
#include <utility>

namespace layerfs::layer {
namespace {

// enum fid_type (include/linux/exportfs.h).
constexpr int kIno32Gen = 1;     // ext4, xfs with small inode numbers; with three words: tmpfs
constexpr int kBtrfs = 0x4d;     // struct btrfs_fid: the inode number, then that of the subvolume
constexpr int kIno64Gen = 0x81;  // xfs, f2fs, ...; erofs with the halves swapped

std::uint32_t word(const sys::FileHandle& handle, std::size_t index) {
  std::uint32_t value;
  std::memcpy(&value, handle.bytes.data() + index * sizeof value, sizeof value);
  return value;
}

std::uint64_t long_word(const sys::FileHandle& handle, std::size_t index = 0) {
  std::uint64_t value;
  std::memcpy(&value, handle.bytes.data() + index * sizeof value, sizeof value);
  return value;
}

bool is_of_btrfs(const sys::FileHandle& handle) {
  return handle.type == kBtrfs && handle.bytes.size() == 20;
}

}  // namespace

Result<Origin> origin_of(int dirfd, const char* name, const sys::Uuid& uuid, bool upper) {
  LAYERFS_TRY_ASSIGN(sys::FileHandle handle, sys::handle_of(dirfd, name));
  return Origin{uuid, std::move(handle), upper};
}

Result<sys::UniqueFd> open_origin(int fd, const sys::Uuid& uuid, const Origin& origin, int flags) {
  if (origin.uuid != uuid) return fail(ESTALE);
  return sys::open_handle(fd, origin.handle, flags);
}

std::optional<std::uint64_t> inode_number(const sys::FileHandle& handle) {
  const std::size_t size = handle.bytes.size();
  if (handle.type == kIno32Gen && size == 8) return word(handle, 0);
  if (handle.type == kIno32Gen && size == 12) {
    return word(handle, 1) | std::uint64_t{word(handle, 2)} << 32;
  }
  if ((handle.type == kIno64Gen && size == 12) || is_of_btrfs(handle)) return long_word(handle);
  return std::nullopt;
}

std::optional<std::uint64_t> swapped_inode_number(const sys::FileHandle& handle) {
  if (handle.type != kIno64Gen || handle.bytes.size() != 12) return std::nullopt;
  return std::uint64_t{word(handle, 0)} << 32 | word(handle, 1);
}

std::optional<std::uint64_t> volume_of(const sys::FileHandle& handle) {
  if (!is_of_btrfs(handle)) return std::nullopt;
  return long_word(handle, 1);
}

}  // namespace layerfs::layer
