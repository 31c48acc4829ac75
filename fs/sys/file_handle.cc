#include "fs/sys/file_handle.h"

#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>

#include <cstdint>
#include <cstring>
#include <optional>

namespace layerfs::sys {
namespace {

// struct file_handle with room for the largest handle.
struct HandleRoom {
  alignas(struct file_handle) char room[sizeof(struct file_handle) + MAX_HANDLE_SZ] = {};
  struct file_handle* get() {
    return reinterpret_cast<struct file_handle*>(room);
  }
};

Uuid uuid_from(const void* bytes) {
  Uuid uuid;
  std::memcpy(uuid.data(), bytes, uuid.size());
  return uuid;
}

// Linux 6.9 (FS_IOC_GETFSUUID): struct fsuuid2.
std::optional<Uuid> generic_uuid(int fd) {
  struct {
    std::uint8_t length;
    std::uint8_t uuid[16];
  } reply = {};
  static_assert(sizeof reply == 17);
  if (::ioctl(fd, _IOR(0x15, 0, reply), &reply) != 0 || reply.length != 16) return std::nullopt;
  return uuid_from(reply.uuid);
}

// Linux 6.0 (EXT4_IOC_GETFSUUID): struct fsuuid and 16 bytes behind it.
std::optional<Uuid> ext4_uuid(int fd) {
  struct {
    std::uint32_t length = 16;
    std::uint32_t flags = 0;
    std::uint8_t uuid[16] = {};
  } request;
  if (::ioctl(fd, _IOR('f', 44, std::uint64_t), &request) != 0) return std::nullopt;
  return uuid_from(request.uuid);
}

// XFS_IOC_FSGEOMETRY_V1: struct xfs_fsop_geom_v1.
std::optional<Uuid> xfs_uuid(int fd) {
  struct {
    std::uint32_t sizes[8];
    std::uint64_t blocks[4];
    std::uint8_t uuid[16];
    std::uint32_t rest[7];
  } reply = {};
  static_assert(sizeof reply == 112);
  if (::ioctl(fd, _IOR('X', 100, reply), &reply) != 0) return std::nullopt;
  return uuid_from(reply.uuid);
}

std::optional<Uuid> btrfs_uuid(int fd) {
  struct btrfs_ioctl_fs_info_args reply = {};
  if (::ioctl(fd, BTRFS_IOC_FS_INFO, &reply) != 0) return std::nullopt;
  return uuid_from(reply.fsid);
}

}  // namespace

Result<FileHandle> handle_of(int dirfd, const char* name) {
  HandleRoom room;
  room.get()->handle_bytes = MAX_HANDLE_SZ;
  int mount_id = 0;
  const int flags = *name == '\0' ? AT_EMPTY_PATH : 0;
  if (::name_to_handle_at(dirfd, name, room.get(), &mount_id, flags) != 0) {
    return fail(Errno::last());
  }
  const char* bytes = reinterpret_cast<const char*>(room.get()->f_handle);
  return FileHandle{room.get()->handle_type, std::string(bytes, room.get()->handle_bytes)};
}

Result<UniqueFd> open_handle(int fd, const FileHandle& handle, int flags) {
  if (handle.bytes.size() > MAX_HANDLE_SZ) return fail(EINVAL);
  HandleRoom room;
  room.get()->handle_bytes = static_cast<unsigned>(handle.bytes.size());
  room.get()->handle_type = handle.type;
  std::memcpy(room.get()->f_handle, handle.bytes.data(), handle.bytes.size());
  UniqueFd opened(::open_by_handle_at(fd, room.get(), flags | O_PATH | O_CLOEXEC));
  if (!opened) return fail(Errno::last());
  return opened;
}

Uuid filesystem_uuid(int fd) {
  if (const auto uuid = generic_uuid(fd)) return *uuid;
  struct statfs about;
  if (::fstatfs(fd, &about) != 0) return Uuid{};
  // What these numbers mean to another file system is not known.
  std::optional<Uuid> uuid;
  if (about.f_type == EXT4_SUPER_MAGIC) uuid = ext4_uuid(fd);
  if (about.f_type == XFS_SUPER_MAGIC) uuid = xfs_uuid(fd);
  if (about.f_type == BTRFS_SUPER_MAGIC) uuid = btrfs_uuid(fd);
  return uuid.value_or(Uuid{});
}

}  // namespace layerfs::sys
