#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <random>

#include "bench/loads/load.h"

namespace layerfs::bench {
namespace {

constexpr std::size_t kLarge = 1 << 20;  // one read or write of a sequential load
constexpr std::size_t kBlock = 4096;     // of a random one

class File {
 public:
  File(const std::string& path, int flags)
      : path_(path), fd_(open(path.c_str(), flags | O_CLOEXEC, 0644)) {
    if (fd_ < 0) give_up(path);
  }
  ~File() { close(fd_); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  int fd() const { return fd_; }
  std::size_t size() const {
    struct stat attr = {};
    if (fstat(fd_, &attr) != 0) give_up(path_);
    return static_cast<std::size_t>(attr.st_size);
  }
  std::size_t read_some(std::vector<char>& into) const {
    const ssize_t got = read(fd_, into.data(), into.size());
    if (got < 0) give_up(path_);
    return static_cast<std::size_t>(got);
  }
  void check(ssize_t done, std::size_t wanted) const {
    if (done != static_cast<ssize_t>(wanted)) give_up(path_);
  }

 private:
  const std::string path_;
  const int fd_;
};

// The same blocks in every run.
class Blocks {
 public:
  explicit Blocks(const File& file) : at_(0, file.size() / kBlock - 1) {}
  off_t next() { return static_cast<off_t>(at_(engine_) * kBlock); }

 private:
  std::mt19937_64 engine_{42};
  std::uniform_int_distribution<std::size_t> at_;
};

std::size_t open_read(const Share& share) {
  std::vector<char> buffer(1 << 16);
  for (const std::string& name : share.names) {
    const File file(share.root + "/" + name, O_RDONLY);
    while (file.read_some(buffer) > 0) {
    }
  }
  return share.names.size();
}

std::size_t read_sequential(const Share& share) {
  std::vector<char> buffer(kLarge);
  const File file(share.root, O_RDONLY);
  std::size_t all = 0;
  while (const std::size_t got = file.read_some(buffer)) all += got;
  return all / kLarge;
}

std::size_t read_random(const Share& share) {
  std::vector<char> buffer(kBlock);
  const File file(share.root, O_RDONLY);
  Blocks blocks(file);
  for (std::size_t i = 0; i < share.count; ++i)
    file.check(pread(file.fd(), buffer.data(), kBlock, blocks.next()), kBlock);
  return share.count;
}

std::size_t read_mapped(const Share& share) {
  const File file(share.root, O_RDONLY);
  const std::size_t size = file.size();
  void* mapped = mmap(nullptr, size, PROT_READ, MAP_SHARED, file.fd(), 0);
  if (mapped == MAP_FAILED) give_up(share.root);
  const volatile char* bytes = static_cast<const char*>(mapped);
  for (std::size_t at = 0; at < size; at += kBlock) (void)bytes[at];
  munmap(mapped, size);
  return size / kBlock;
}

std::size_t write_sequential(const Share& share) {
  const std::vector<char> buffer(kLarge, 'w');
  const File file(share.root, O_WRONLY | O_CREAT | O_TRUNC);
  for (std::size_t at = 0; at < share.size; at += kLarge)
    file.check(write(file.fd(), buffer.data(), kLarge), kLarge);
  return share.size / kLarge;
}

std::size_t write_random(const Share& share) {
  const std::vector<char> buffer(kBlock, 'r');
  const File file(share.root, O_WRONLY);
  Blocks blocks(file);
  for (std::size_t i = 0; i < share.count; ++i)
    file.check(pwrite(file.fd(), buffer.data(), kBlock, blocks.next()), kBlock);
  return share.count;
}

std::size_t write_and_sync(const Share& share) {
  const std::vector<char> buffer(kBlock, 's');
  const File file(share.root, O_WRONLY | O_CREAT);
  for (std::size_t i = 0; i < share.count; ++i) {
    file.check(write(file.fd(), buffer.data(), kBlock), kBlock);
    if (fsync(file.fd()) != 0) give_up(share.root);
  }
  return share.count;
}

std::size_t append(const Share& share) {
  for (const std::string& name : share.names) {
    const File file(share.root + "/" + name, O_WRONLY | O_APPEND);
    file.check(write(file.fd(), "\n", 1), 1);
  }
  return share.names.size();
}

}  // namespace

std::vector<Load> data_loads() {
  return {
      {"open-read", "open, read and close each file of --list", open_read},
      {"read-sequential", "read the file --root", read_sequential},
      {"read-random", "read --count blocks of 4 KiB of the file --root", read_random},
      {"read-mapped", "touch each page of the file --root, mapped", read_mapped},
      {"write-sequential", "write --size bytes to the file --root", write_sequential},
      {"write-random", "write --count blocks of 4 KiB of the file --root", write_random},
      {"fsync", "write 4 KiB to the file --root and fsync it, --count times", write_and_sync},
      {"append", "append one byte to each file of --list", append},
  };
}

}  // namespace layerfs::bench
