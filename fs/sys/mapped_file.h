// Files read as memory.
#pragma once

#include <cstddef>
#include <utility>

#include "fs/sys/result.h"

namespace layerfs::sys {

// A file mapped for reading. Where the file cannot be read any more, because it was truncated or
// its disk fails, the mapping reads as zeroes from then on instead of ending the process: for that,
// the first mapping installs a handler of SIGBUS, which leaves faults elsewhere to the one before
// it. The memory may change under the reader as the file does.
class MappedFile {
 public:
  MappedFile() = default;
  MappedFile(MappedFile&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  MappedFile& operator=(MappedFile&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  // The first `size` bytes, at least one, of the file open for reading at `fd`.
  static Result<MappedFile> map(int fd, std::size_t size);

  const std::byte* data() const { return data_; }
  std::size_t size() const { return size_; }

  // Takes the pages that were read out of this process's resident memory; they stay in the page
  // cache, and the next read maps them again. Readers may be at it meanwhile.
  void unload() const noexcept;

 private:
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace layerfs::sys
