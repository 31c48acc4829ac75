#include "fs/sys/copy.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include <fmt/format.h>

namespace layerfs::sys {
namespace {

// Up to here one read and one write cost less than asking for a clone or for the extents.
constexpr std::size_t kSmall = 64 * 1024;
constexpr std::size_t kBuffer = 256 * 1024;
// The granularity in which a small file is searched for what may be a hole.
constexpr std::size_t kBlock = 4096;

// Reads until `buffer` is full or the file ends; returns how much was read.
Result<std::size_t> read_fully(int fd, std::span<char> buffer, off_t offset) {
  std::size_t done = 0;
  while (done < buffer.size()) {
    const ssize_t n =
        ::pread(fd, buffer.data() + done, buffer.size() - done, offset + static_cast<off_t>(done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(Errno::last());
    if (n == 0) break;
    done += static_cast<std::size_t>(n);
  }
  return done;
}

Result<void> write_fully(int fd, std::span<const char> data, off_t offset) {
  while (!data.empty()) {
    const ssize_t n = ::pwrite(fd, data.data(), data.size(), offset);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(Errno::last());
    data = data.subspan(static_cast<std::size_t>(n));
    offset += n;
  }
  return {};
}

Result<void> set_size(int fd, off_t size) {
  while (::ftruncate(fd, size) != 0) {
    if (errno != EINTR) return fail(Errno::last());
  }
  return {};
}

bool all_zero(std::span<const char> data) {
  return data[0] == 0 && std::memcmp(data.data(), data.data() + 1, data.size() - 1) == 0;
}

bool has_zero_block(std::span<const char> data) {
  for (; !data.empty(); data = data.subspan(std::min(kBlock, data.size()))) {
    if (all_zero(data.first(std::min(kBlock, data.size())))) return true;
  }
  return false;
}

// False: the file may have holes, nothing was written.
Result<bool> copy_small(int from, int to, std::size_t size) {
  std::array<char, kSmall> buffer;
  LAYERFS_TRY_ASSIGN(const std::size_t got, read_fully(from, std::span(buffer).first(size), 0));
  const auto data = std::span<const char>(buffer).first(got);
  if (got < size || has_zero_block(data)) return false;
  LAYERFS_TRY(write_fully(to, data, 0));
  return true;
}

// False: the two files can't share extents, or the clone ran into an error that a copy will meet
// again if it is real. XFS, for one, refuses a clone with ENOSPC where a copy still finds room.
bool clone(int from, int to) {
  int result;
  do {
    result = ::ioctl(to, FICLONE, from);
  } while (result != 0 && errno == EINTR);
  return result == 0;
}

// The extents of one file, copied into another.
class ExtentCopy {
 public:
  ExtentCopy(int from, int to, off_t size) : from_(from), to_(to), size_(size) {}

  Result<void> run() {
    while (position_ < size_) {
      LAYERFS_TRY_ASSIGN(const std::optional<off_t> start, data_from(position_));
      if (!start || *start >= size_) break;
      LAYERFS_TRY_ASSIGN(const off_t end, hole_from(*start));
      position_ = *start;
      LAYERFS_TRY(copy_until(std::min(end, size_)));
      if (at_end_) break;
    }
    if (written_ == size_) return {};
    return set_size(to_, size_);
  }

 private:
  // The next data at or behind `offset`; none if there is only a hole.
  Result<std::optional<off_t>> data_from(off_t offset) const {
    const off_t found = ::lseek(from_, offset, SEEK_DATA);
    if (found >= 0) return found;
    if (errno == ENXIO) return std::nullopt;
    if (errno == EINVAL || errno == EOPNOTSUPP) return offset;
    return fail(Errno::last());
  }

  Result<off_t> hole_from(off_t offset) const {
    const off_t found = ::lseek(from_, offset, SEEK_HOLE);
    if (found >= 0) return found;
    if (errno == ENXIO || errno == EINVAL || errno == EOPNOTSUPP) return size_;
    return fail(Errno::last());
  }

  // Copies from position_ on, as far as `end` or the end of the file.
  Result<void> copy_until(off_t end) {
    while (position_ < end && !at_end_) {
      if (in_kernel_) {
        LAYERFS_TRY(copy_in_kernel(end));
      } else {
        LAYERFS_TRY(copy_through_buffer(end));
      }
    }
    return {};
  }

  Result<void> copy_in_kernel(off_t end) {
    loff_t in = position_;
    loff_t out = position_;
    const ssize_t n =
        ::copy_file_range(from_, &in, to_, &out, static_cast<std::size_t>(end - position_), 0);
    if (n > 0) {
      advance(n);
    } else if (n == 0 || errno == EXDEV || errno == EINVAL || errno == EOPNOTSUPP ||
               errno == ENOSYS || errno == EPERM || errno == ETXTBSY) {
      // 0 is the end of the file, or a file system that only claims to know the call.
      in_kernel_ = false;
    } else if (errno != EINTR) {
      return fail(Errno::last());
    }
    return {};
  }

  Result<void> copy_through_buffer(off_t end) {
    if (!buffer_) buffer_ = std::make_unique_for_overwrite<char[]>(kBuffer);
    const auto wanted = std::min<off_t>(end - position_, kBuffer);
    LAYERFS_TRY_ASSIGN(
        const std::size_t got,
        read_fully(from_, std::span(buffer_.get(), static_cast<std::size_t>(wanted)), position_));
    LAYERFS_TRY(write_fully(to_, std::span<const char>(buffer_.get(), got), position_));
    advance(static_cast<off_t>(got));
    at_end_ = static_cast<off_t>(got) < wanted;
    return {};
  }

  void advance(off_t n) {
    position_ += n;
    written_ = position_;
  }

  const int from_;
  const int to_;
  const off_t size_;
  off_t position_ = 0;
  off_t written_ = 0;  // the size of `to`
  bool in_kernel_ = true;
  bool at_end_ = false;
  std::unique_ptr<char[]> buffer_;
};

// Whether the ext4 below `fd` has a journal, and writes data before the journal that speaks of it.
// A file system without a journal has no mode of data.
bool ext4_orders_metadata(int fd) {
  struct stat about;
  if (::fstat(fd, &about) != 0) return false;
  std::error_code failed;
  const auto device = std::filesystem::read_symlink(
      fmt::format("/sys/dev/block/{}:{}", major(about.st_dev), minor(about.st_dev)), failed);
  if (failed) return false;
  std::ifstream options("/proc/fs/ext4/" + device.filename().string() + "/options");
  for (std::string option; std::getline(options, option);) {
    if (option == "data=ordered" || option == "data=journal") return true;
  }
  return false;
}

}  // namespace

// ext4 and XFS convert and log the extents before the end of the write-back that is waited for,
// btrfs joins the transaction. Their log is written behind a flush of the disk's cache.
bool orders_metadata(int fd) {
  struct statfs about;
  if (::fstatfs(fd, &about) != 0) return false;
  switch (static_cast<unsigned long>(about.f_type)) {
    case EXT4_SUPER_MAGIC:
      return ext4_orders_metadata(fd);
    case XFS_SUPER_MAGIC:
    case BTRFS_SUPER_MAGIC:
    case TMPFS_MAGIC:
      return true;
    default:
      return false;
  }
}

Result<void> flush_data(int fd, bool ordered) {
  constexpr unsigned kWriteAndWait =
      SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
  const int status = ordered ? ::sync_file_range(fd, 0, 0, kWriteAndWait) : ::fdatasync(fd);
  if (status != 0) return fail(Errno::last());
  return {};
}

Result<void> copy_data(int from, int to, off_t size) {
  if (size <= 0) return {};
  if (static_cast<std::size_t>(size) <= kSmall) {
    LAYERFS_TRY_ASSIGN(const bool copied, copy_small(from, to, static_cast<std::size_t>(size)));
    if (copied) return {};
  }
  if (clone(from, to)) {
    struct stat st;
    if (::fstat(to, &st) != 0) return fail(Errno::last());
    return st.st_size == size ? Result<void>() : set_size(to, size);
  }
  return ExtentCopy(from, to, size).run();
}

}  // namespace layerfs::sys
