#include "tests/mixed_io/file_views.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <system_error>
#include <thread>

#include <fmt/format.h>

namespace layerfs::mixed_io {

bool Descriptor::reads() const { return (flags & O_ACCMODE) != O_WRONLY; }
bool Descriptor::writes() const { return (flags & O_ACCMODE) != O_RDONLY; }
bool Descriptor::appends() const { return (flags & O_APPEND) != 0; }
bool Descriptor::direct() const { return (flags & O_DIRECT) != 0; }

Mapping::Mapping(int fd, bool writable)
    : memory_(
          ::mmap(nullptr, kMost, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0)),
      writable_(writable) {
  if (memory_ == MAP_FAILED) throw std::system_error(errno, std::system_category(), "mmap");
}

Mapping::~Mapping() { ::munmap(memory_, kMost); }

std::string Mapping::load(std::size_t at, std::size_t length) const {
  std::string bytes(length, '\0');
  const iovec to{bytes.data(), length};
  const iovec from{static_cast<char*>(memory_) + at, length};
  const ssize_t got = ::process_vm_readv(::getpid(), &to, 1, &from, 1, 0);
  bytes.resize(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
  return bytes;
}

bool Mapping::store(std::size_t at, const std::string& bytes) const {
  const iovec from{const_cast<char*>(bytes.data()), bytes.size()};
  const iovec to{static_cast<char*>(memory_) + at, bytes.size()};
  return ::process_vm_writev(::getpid(), &from, 1, &to, 1, 0) == static_cast<ssize_t>(bytes.size());
}

bool Mapping::sync() const { return ::msync(memory_, kMost, MS_SYNC) == 0; }

void Mapping::forget_pages() const { ::madvise(memory_, kMost, MADV_DONTNEED); }

AlignedMemory::AlignedMemory(std::size_t size)
    : memory_(
          static_cast<char*>(std::aligned_alloc(kBlock, (size + kBlock - 1) / kBlock * kBlock))) {
  if (!memory_) throw std::bad_alloc();
}

void AlignedMemory::Free::operator()(char* memory) const { std::free(memory); }

void File::put(std::size_t at, const std::string& bytes) {
  expected.resize(std::max(expected.size(), at + bytes.size()), '\0');
  expected.replace(at, bytes.size(), bytes);
}

void File::zero(std::size_t at, std::size_t length) {
  if (at >= expected.size()) return;
  length = std::min(length, expected.size() - at);
  expected.replace(at, length, std::string(length, '\0'));
}

std::string File::part(std::size_t at, std::size_t length) const {
  return at < expected.size() ? expected.substr(at, length) : std::string();
}

const Descriptor* File::find(std::size_t number,
                             const std::function<bool(const Descriptor&)>& suits) const {
  std::vector<const Descriptor*> found;
  for (const Descriptor& each : descriptors)
    if (suits(each)) found.push_back(&each);
  return found.empty() ? nullptr : found[number % found.size()];
}

std::string read_part(const Descriptor& from, std::size_t at, std::size_t length) {
  const std::size_t begin = from.direct() ? at / kBlock * kBlock : at;
  const std::size_t end =
      from.direct() ? (at + length + kBlock - 1) / kBlock * kBlock : at + length;
  const AlignedMemory memory(end - begin);
  const ssize_t got = ::pread(from.fd.get(), memory.get(), end - begin, static_cast<off_t>(begin));
  if (got < 0) return std::strerror(errno);
  const std::string all(memory.get(), static_cast<std::size_t>(got));
  return all.size() > at - begin ? all.substr(at - begin, length) : std::string();
}

namespace {

std::string difference(const std::string& found, const std::string& expected) {
  if (found == expected) return "";
  if (found.size() != expected.size())
    return fmt::format("{} bytes instead of {}", found.size(), expected.size());
  const auto at = std::mismatch(found.begin(), found.end(), expected.begin()).first;
  return fmt::format("byte {} is {:#x} instead of {:#x}", at - found.begin(), *at & 0xff,
                     expected[static_cast<std::size_t>(at - found.begin())] & 0xff);
}

}  // namespace

std::string File::problem() const {
  for (const Descriptor& each : descriptors) {
    struct stat st = {};
    if (::fstat(each.fd.get(), &st) != 0) return fmt::format("fstat: {}", std::strerror(errno));
    if (static_cast<std::size_t>(st.st_size) != expected.size())
      return fmt::format("st_size is {} instead of {}", st.st_size, expected.size());
    if (!each.reads()) continue;
    if (const auto wrong = difference(read_part(each, 0, kMost), expected); !wrong.empty())
      return fmt::format("descriptor {} (flags {:#o}): {}", each.fd.get(), each.flags, wrong);
  }
  for (std::size_t i = 0; i < mappings.size(); ++i) {
    const auto wrong = difference(mappings[i]->load(0, expected.size()), expected);
    if (!wrong.empty()) return fmt::format("mapping {}: {}", i, wrong);
  }
  return "";
}

struct Bystander::State {
  std::atomic<bool> stop{false};
  std::thread thread;
};

Bystander::Bystander(const File& file) : state_(std::make_unique<State>()) {
  std::vector<int> fds;
  for (const Descriptor& each : file.descriptors)
    if (each.reads() && !each.direct()) fds.push_back(each.fd.get());
  std::vector<const Mapping*> mappings;
  for (const auto& each : file.mappings) mappings.push_back(each.get());
  state_->thread = std::thread([state = state_.get(), fds, mappings] {
    std::string any(kMost, '\0');
    while (!state->stop) {
      for (const int fd : fds)
        if (::pread(fd, any.data(), any.size(), 0) < 0) return;
      for (const Mapping* mapping : mappings) mapping->load(0, kMost);
      std::this_thread::yield();
    }
  });
}

Bystander::~Bystander() {
  state_->stop = true;
  state_->thread.join();
}

}  // namespace layerfs::mixed_io
