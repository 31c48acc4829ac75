// Writes past the page cache, beside readers that fill it.
#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>

#include "fs/sys/unique_fd.h"
#include "tests/mount/union_fixture.h"
#include "tests/support/async_io.h"

namespace layerfs::test {
namespace {

using op::PassthroughPolicy;

constexpr std::size_t kPart = 16 * 1024;
constexpr int kParts = 8;

struct FreeMemory {
  void operator()(char* memory) const { std::free(memory); }
};
using AlignedMemory = std::unique_ptr<char, FreeMemory>;

AlignedMemory aligned(char fill) {
  AlignedMemory memory(static_cast<char*>(std::aligned_alloc(4096, kPart)));
  std::fill_n(memory.get(), kPart, fill);
  return memory;
}

// Whoever reads a file all the time.
class Reader {
 public:
  explicit Reader(int fd) : thread_([this, fd] { read(fd); }) {}
  ~Reader() {
    stop_ = true;
    thread_.join();
  }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

 private:
  void read(int fd) const {
    std::string any(kPart, '\0');
    for (int part = 0; !stop_; part = (part + 1) % kParts)
      if (::pread(fd, any.data(), kPart, part * off_t{kPart}) < 0) return;
  }
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

class Direct : public Union,
               public testing::WithParamInterface<std::tuple<PassthroughPolicy, AsyncWay>> {
 protected:
  void SetUp() override {
    stack_.passthrough = std::get<0>(GetParam());
    mount("head -c 131072 /dev/zero > lower/data");
  }
};

TEST_P(Direct, AnAsynchronousWriteLeavesNoOldPages) {
  const auto queue = make_async_queue(std::get<1>(GetParam()));
  const std::string path = root_ / "data";
  // Held open from before the copy-up, the file is served by the page cache whatever the policy.
  const sys::UniqueFd reading(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  const sys::UniqueFd writing(::open(path.c_str(), O_RDWR | O_DIRECT | O_CLOEXEC));
  ASSERT_TRUE(reading && writing) << errno;
  const Reader reader(reading.get());
  std::string found(kPart, '\0');
  for (int round = 0; round < 1000; ++round) {
    const char fill = static_cast<char>('a' + round % 26);
    const AlignedMemory memory = aligned(fill);
    std::vector<Transfer> parts;
    for (int part = 0; part < kParts; ++part)
      parts.push_back({writing.get(), true, memory.get(), kPart, part * off_t{kPart}});
    for (const long written : queue->run(parts)) ASSERT_EQ(written, kPart);
    for (int part = 0; part < kParts; ++part) {
      ASSERT_EQ(::pread(reading.get(), found.data(), kPart, part * off_t{kPart}), kPart);
      ASSERT_TRUE(found == std::string(kPart, fill)) << "round " << round << ", part " << part;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Everywhere, Direct,
                         testing::Combine(testing::Values(PassthroughPolicy::kAuto,
                                                          PassthroughPolicy::kNone),
                                          testing::Values(AsyncWay::kAio, AsyncWay::kIoUring)),
                         [](const auto& cell) {
                           return std::string(std::get<0>(cell.param) == PassthroughPolicy::kAuto
                                                  ? "Default"
                                                  : "NoPassthrough") +
                                  (std::get<1>(cell.param) == AsyncWay::kAio ? "Aio" : "IoUring");
                         });

}  // namespace
}  // namespace layerfs::test
