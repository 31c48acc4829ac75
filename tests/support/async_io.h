// Reads and writes that are given to the kernel first and waited for later.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <vector>

namespace layerfs::test {

// The memory is the caller's and stays until the transfer has ended.
struct Transfer {
  int fd = -1;
  bool write = false;
  char* memory = nullptr;
  std::size_t length = 0;
  off_t offset = 0;
};

enum class AsyncWay { kAio, kIoUring };

// For one thread. Making one takes the kernel some 50 ms (io_setup), using it does not.
class AsyncQueue {
 public:
  static constexpr std::size_t kDepth = 16;

  virtual ~AsyncQueue() = default;

  // Gives all transfers, kDepth at most, to the kernel at once, calls `meanwhile`, and waits until
  // all have ended. Returns what each ended with, in their order: a number of bytes, or a negative
  // errno. Throws std::system_error if the kernel does not take them.
  virtual std::vector<long> run(
      const std::vector<Transfer>& transfers, const std::function<void()>& meanwhile = [] {}) = 0;
};

// Throws std::system_error if the kernel has none to give.
std::unique_ptr<AsyncQueue> make_async_queue(AsyncWay way);

}  // namespace layerfs::test
