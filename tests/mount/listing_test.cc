// A listing brings the attributes of files. What they were when the daemon was asked may be old by
// the time that the kernel takes them in.
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <fstream>
#include <functional>
#include <stdexcept>
#include <string>
#include <thread>

#include "fs/sys/unique_fd.h"
#include "tests/mount/union_fixture.h"

namespace layerfs::test {
namespace {

constexpr std::size_t kPage = 4096;

// A page whose first use blocks until it is let go.
class HeldPage {
 public:
  HeldPage()
      : uffd_(static_cast<int>(::syscall(SYS_userfaultfd, O_CLOEXEC))),
        memory_(
            ::mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) {
    uffdio_api api = {.api = UFFD_API, .features = 0, .ioctls = 0};
    uffdio_register registration = {};
    registration.range = {reinterpret_cast<std::uintptr_t>(memory_), kPage};
    registration.mode = UFFDIO_REGISTER_MODE_MISSING;
    if (!uffd_ || memory_ == MAP_FAILED || ::ioctl(uffd_.get(), UFFDIO_API, &api) != 0 ||
        ::ioctl(uffd_.get(), UFFDIO_REGISTER, &registration) != 0)
      throw std::runtime_error("userfaultfd cannot be used here");
  }
  ~HeldPage() { ::munmap(memory_, kPage); }
  HeldPage(const HeldPage&) = delete;
  HeldPage& operator=(const HeldPage&) = delete;

  void* memory() const { return memory_; }
  bool wait_for_use() const {
    pollfd waiting = {.fd = uffd_.get(), .events = POLLIN, .revents = 0};
    return ::poll(&waiting, 1, 20'000) == 1;
  }
  void let_go() const {
    uffdio_zeropage zero = {};
    zero.range = {reinterpret_cast<std::uintptr_t>(memory_), kPage};
    ::ioctl(uffd_.get(), UFFDIO_ZEROPAGE, &zero);
  }

 private:
  sys::UniqueFd uffd_;
  void* memory_;
};

struct Setting {
  const char* name;
  op::PassthroughPolicy passthrough;
  bool writeback;
};

constexpr Setting kSettings[] = {
    {"WithPassthrough", op::PassthroughPolicy::kAuto, false},
    {"WithTheWritebackCache", op::PassthroughPolicy::kNone, true},
    {"WithNeither", op::PassthroughPolicy::kNone, false},
};

class Listings : public Union, public testing::WithParamInterface<Setting> {
 protected:
  Listings() {
    stack_.passthrough = GetParam().passthrough;
    writeback_ = GetParam().writeback;
  }

  // Does `action` after the daemon has answered a listing of the mount's root and before the kernel
  // has taken the answer in.
  void during_a_listing(const std::function<void()>& action) const {
    const HeldPage page;
    const sys::UniqueFd dir(::open(root_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    std::thread lister(
        [&] { EXPECT_GT(::syscall(SYS_getdents64, dir.get(), page.memory(), kPage), 0); });
    EXPECT_TRUE(page.wait_for_use());
    action();
    EXPECT_TRUE(std::ofstream("/proc/sys/vm/drop_caches") << "2" << std::flush);
    page.let_go();
    lister.join();
  }
  // The same with a file of the upper and one of a lower layer, which `change` changes.
  void expect_after_a_change(const std::function<void(const std::string& path)>& change,
                             const std::string& content) {
    mount("echo 0123456789 > upper/in_upper; echo 0123456789 > lower/in_lower");
    for (const char* name : {"in_upper", "in_lower"}) {
      const std::string path = root_ / name;
      during_a_listing([&] { change(path); });
      struct stat attr = {};
      const auto asked = mount_->requests_of([&] { attr = attr_of(path); });
      EXPECT_FALSE(asked.empty()) << "the kernel did not forget the file meanwhile";
      EXPECT_EQ(attr.st_size, static_cast<off_t>(content.size())) << name;
      EXPECT_EQ(read_file(path), content) << name;
    }
  }
};

TEST_P(Listings, DoNotBringBackTheSizeOfAFileThatWasTruncatedMeanwhile) {
  expect_after_a_change(
      [](const std::string& path) { EXPECT_EQ(::truncate(path.c_str(), 4), 0) << errno; }, "0123");
}

TEST_P(Listings, DoNotBringBackTheSizeOfAFileThatGrewMeanwhile) {
  // Without O_CREAT, which would wait for the listing.
  expect_after_a_change(
      [](const std::string& path) {
        const sys::UniqueFd fd(::open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
        EXPECT_EQ(::write(fd.get(), "more\n", 5), 5) << errno;
      },
      "0123456789\nmore\n");
}

INSTANTIATE_TEST_SUITE_P(Everywhere, Listings, testing::ValuesIn(kSettings),
                         [](const auto& setting) { return setting.param.name; });

}  // namespace
}  // namespace layerfs::test
