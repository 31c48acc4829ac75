#include "tests/support/async_io.h"

#include <liburing.h>
#include <linux/aio_abi.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <system_error>

namespace layerfs::test {
namespace {

[[noreturn]] void give_up(int code, const char* what) {
  throw std::system_error(code, std::system_category(), what);
}

// io_setup(2) and its like: libaio adds nothing to the calls.
class Aio final : public AsyncQueue {
 public:
  Aio() {
    if (::syscall(SYS_io_setup, kDepth, &context_) != 0) give_up(errno, "io_setup");
  }
  Aio(const Aio&) = delete;
  Aio& operator=(const Aio&) = delete;
  ~Aio() override { ::syscall(SYS_io_destroy, context_); }

  std::vector<long> run(const std::vector<Transfer>& transfers,
                        const std::function<void()>& meanwhile) override {
    for (std::size_t i = 0; i < transfers.size(); ++i) submit(transfers[i], i);
    meanwhile();
    std::vector<long> ends(transfers.size());
    for (std::size_t i = 0; i < ends.size(); ++i) {
      const io_event event = wait();
      ends[event.data] = event.res;
    }
    return ends;
  }

 private:
  void submit(const Transfer& transfer, std::size_t index) {
    iocb block = {};
    block.aio_data = index;
    block.aio_lio_opcode = transfer.write ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD;
    block.aio_fildes = static_cast<std::uint32_t>(transfer.fd);
    block.aio_buf = reinterpret_cast<std::uintptr_t>(transfer.memory);
    block.aio_nbytes = transfer.length;
    block.aio_offset = transfer.offset;
    iocb* one = &block;
    if (::syscall(SYS_io_submit, context_, 1, &one) != 1) give_up(errno, "io_submit");
  }

  io_event wait() {
    io_event event = {};
    while (::syscall(SYS_io_getevents, context_, 1, 1, &event, nullptr) != 1)
      if (errno != EINTR) give_up(errno, "io_getevents");
    return event;
  }

  aio_context_t context_ = 0;
};

class Ring final : public AsyncQueue {
 public:
  Ring() {
    if (const int made = ::io_uring_queue_init(kDepth, &ring_, 0); made != 0)
      give_up(-made, "io_uring_setup");
  }
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;
  ~Ring() override { ::io_uring_queue_exit(&ring_); }

  std::vector<long> run(const std::vector<Transfer>& transfers,
                        const std::function<void()>& meanwhile) override {
    for (std::size_t i = 0; i < transfers.size(); ++i) prepare(transfers[i], i);
    if (const int taken = ::io_uring_submit(&ring_); taken < 0) give_up(-taken, "io_uring_enter");
    meanwhile();
    std::vector<long> ends(transfers.size());
    for (std::size_t i = 0; i < ends.size(); ++i) {
      io_uring_cqe* entry = nullptr;
      if (const int status = ::io_uring_wait_cqe(&ring_, &entry); status != 0)
        give_up(-status, "io_uring_enter");
      ends[::io_uring_cqe_get_data64(entry)] = entry->res;
      ::io_uring_cqe_seen(&ring_, entry);
    }
    return ends;
  }

 private:
  void prepare(const Transfer& transfer, std::size_t index) {
    io_uring_sqe* entry = ::io_uring_get_sqe(&ring_);
    const auto length = static_cast<unsigned>(transfer.length);
    const auto offset = static_cast<std::uint64_t>(transfer.offset);
    if (transfer.write) {
      ::io_uring_prep_write(entry, transfer.fd, transfer.memory, length, offset);
    } else {
      ::io_uring_prep_read(entry, transfer.fd, transfer.memory, length, offset);
    }
    ::io_uring_sqe_set_data64(entry, index);
  }

  io_uring ring_ = {};
};

}  // namespace

std::unique_ptr<AsyncQueue> make_async_queue(AsyncWay way) {
  if (way == AsyncWay::kAio) return std::make_unique<Aio>();
  return std::make_unique<Ring>();
}

}  // namespace layerfs::test
