#include "fs/sys/mapped_file.h"

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <mutex>

namespace layerfs::sys {
namespace {

// A mapping as the signal handler sees it: the handler may run at any moment, on any thread, so the
// list only grows, and what it reads is atomic. A range that is free has begin == 0.
struct Range {
  std::atomic<std::uintptr_t> begin{0};
  std::atomic<std::uintptr_t> end{0};
  Range* next = nullptr;
};

// A signal handler has nothing but globals to look at.
std::atomic<Range*> ranges{nullptr};
std::mutex ranges_mutex;  // of writers
struct sigaction former_action = {};
std::uintptr_t page_size = 0;

bool in_a_mapping(std::uintptr_t address) {
  for (const Range* range = ranges.load(); range != nullptr; range = range->next) {
    const std::uintptr_t begin = range->begin.load();
    if (begin != 0 && begin <= address && address < range->end.load()) return true;
  }
  return false;
}

// Puts a page of zeroes where the file has none to give; the read is then tried again.
void on_bus_error(int, siginfo_t* info, void*) {
  const int saved = errno;
  const auto address = reinterpret_cast<std::uintptr_t>(info->si_addr);
  const std::uintptr_t page = address & ~(page_size - 1);
  if (!in_a_mapping(address) ||
      ::mmap(reinterpret_cast<void*>(page), page_size, PROT_READ,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED) {
    // The same fault comes again, and meets whoever was to see it before.
    ::sigaction(SIGBUS, &former_action, nullptr);
  }
  errno = saved;
}

void install_handler() {
  page_size = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  struct sigaction action = {};
  action.sa_sigaction = on_bus_error;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  ::sigaction(SIGBUS, &action, &former_action);
}

void enter(std::uintptr_t begin, std::uintptr_t end) {
  const std::lock_guard lock(ranges_mutex);
  if (page_size == 0) install_handler();
  Range* range = ranges.load();
  while (range != nullptr && range->begin.load() != 0) range = range->next;
  if (range == nullptr) {
    range = new Range;
    range->next = ranges.load();
    ranges.store(range);
  }
  range->end.store(end);
  range->begin.store(begin);
}

void leave(std::uintptr_t begin) {
  const std::lock_guard lock(ranges_mutex);
  for (Range* range = ranges.load(); range != nullptr; range = range->next) {
    if (range->begin.load() == begin) range->begin.store(0);
  }
}

}  // namespace

Result<MappedFile> MappedFile::map(int fd, std::size_t size) {
  void* data = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0);
  if (data == MAP_FAILED) return fail(Errno::last());
  MappedFile file;
  file.data_ = static_cast<const std::byte*>(data);
  file.size_ = size;
  const auto begin = reinterpret_cast<std::uintptr_t>(data);
  enter(begin, begin + size);
  return file;
}

void MappedFile::unload() const noexcept {
  if (data_ == nullptr) return;
  // Advice: if it is not taken, the pages are resident as they were.
  (void)::madvise(const_cast<std::byte*>(data_), size_, MADV_DONTNEED);
}

MappedFile::~MappedFile() {
  if (data_ == nullptr) return;
  leave(reinterpret_cast<std::uintptr_t>(data_));
  ::munmap(const_cast<std::byte*>(data_), size_);
}

}  // namespace layerfs::sys
