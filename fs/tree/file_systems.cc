#include "fs/tree/file_systems.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>

#include <algorithm>
#include <utility>

#include "fs/layer/origin.h"
#include "fs/sys/file.h"

namespace layerfs::tree {

bool is_stacked(int fd) {
  struct statfs about;
  if (::fstatfs(fd, &about) != 0) return true;
  const auto type = static_cast<unsigned long>(about.f_type);
  return type == OVERLAYFS_SUPER_MAGIC || type == FUSE_SUPER_MAGIC;
}

void FileSystems::add(dev_t device, int dirfd, bool is_upper) {
  if (find_device(device) != nullptr) return;
  FileSystem added{.device = device, .stacked = is_stacked(dirfd)};
  if (auto directory = sys::open_beneath(dirfd, "", O_RDONLY | O_DIRECTORY)) {
    added.uuid = sys::filesystem_uuid(directory->get());
    added.directory = std::move(*directory);
  }
  const auto handle = sys::handle_of(dirfd, "");
  const auto st = sys::stat_fd(dirfd);
  if (handle && st) {
    using enum FileSystem::Numbers;
    if (layer::inode_number(*handle) == st->st_ino) added.numbers = kTold;
    if (layer::swapped_inode_number(*handle) == st->st_ino) added.numbers = kSwapped;
    added.volume = layer::volume_of(*handle).value_or(0);
  }
  settle(added, is_upper);
  all_.push_back(std::move(added));
}

void FileSystems::settle(FileSystem& added, bool is_upper) {
  const bool named = is_upper || added.uuid != sys::Uuid{};
  added.certain = added.numbers != FileSystem::Numbers::kNotTold && !added.stacked && named;
  for (FileSystem& other : all_) {
    if (other.uuid != added.uuid || other.volume != added.volume) continue;
    // One is a copy of the other: which of the two a handle is of cannot be told.
    other.certain = added.certain = false;
    other.directory.reset();
  }
  if (!added.certain) added.directory.reset();
}

std::optional<std::uint64_t> FileSystems::number_in(const FileSystem& fs,
                                                    const sys::FileHandle& handle) {
  return fs.numbers == FileSystem::Numbers::kSwapped ? layer::swapped_inode_number(handle)
                                                     : layer::inode_number(handle);
}

std::vector<dev_t> FileSystems::devices() const {
  std::vector<dev_t> devices;
  devices.reserve(all_.size());
  for (const FileSystem& fs : all_) devices.push_back(fs.device);
  return devices;
}

const FileSystems::FileSystem* FileSystems::find_device(dev_t device) const {
  const auto found = std::ranges::find(all_, device, &FileSystem::device);
  return found == all_.end() ? nullptr : &*found;
}

bool FileSystems::is_certain(dev_t device) const {
  const FileSystem* fs = find_device(device);
  return fs != nullptr && fs->certain;
}

bool FileSystems::tells_inodes_apart(dev_t device) const {
  const FileSystem* fs = find_device(device);
  return fs != nullptr && !fs->stacked;
}

bool FileSystems::lists_numbers_of_directories(dev_t device) const {
  const FileSystem* fs = find_device(device);
  return fs != nullptr && !fs->stacked && fs->volume == 0;
}

Result<std::string> FileSystems::origin_of(const struct stat& st, int dirfd, const char* name,
                                           bool upper) const {
  const FileSystem* fs = find_device(st.st_dev);
  if (fs == nullptr || !fs->certain) return std::string();
  const auto origin = layer::origin_of(dirfd, name, fs->uuid, upper);
  if (!origin && origin.error() == Errno(EOPNOTSUPP)) return std::string();
  if (!origin) return fail(origin.error());
  if (number_in(*fs, origin->handle) != st.st_ino) return std::string();
  return layer::format_origin(*origin).value_or(std::string());
}

const FileSystems::FileSystem* FileSystems::find_origin(const std::string& value,
                                                        sys::FileHandle& handle) const {
  auto origin = layer::parse_origin(value);
  if (!origin) return nullptr;
  const std::uint64_t volume = layer::volume_of(origin->handle).value_or(0);
  const auto found = std::ranges::find_if(all_, [&](const FileSystem& fs) {
    return fs.certain && fs.uuid == origin->uuid && fs.volume == volume;
  });
  if (found == all_.end()) return nullptr;
  handle = std::move(origin->handle);
  return &*found;
}

std::optional<InodeId> FileSystems::named_by(const std::string& origin) const {
  sys::FileHandle handle;
  const FileSystem* fs = find_origin(origin, handle);
  if (fs == nullptr) return std::nullopt;
  const auto number = number_in(*fs, handle);
  if (!number) return std::nullopt;
  return InodeId{fs->device, *number};
}

Result<struct stat> FileSystems::find(const std::string& origin) const {
  sys::FileHandle handle;
  const FileSystem* fs = find_origin(origin, handle);
  if (fs == nullptr) return fail(ESTALE);
  LAYERFS_TRY_ASSIGN(const sys::UniqueFd file,
                     sys::open_handle(fs->directory.get(), handle, O_PATH));
  LAYERFS_TRY_ASSIGN(const struct stat st, sys::stat_fd(file.get()));
  if (st.st_dev != fs->device || number_in(*fs, handle) != st.st_ino) return fail(ESTALE);
  return st;
}

}  // namespace layerfs::tree
