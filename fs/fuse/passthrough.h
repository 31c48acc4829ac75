// Files that the kernel reads and writes by itself.
#pragma once

#include "fs/op/backing.h"

namespace layerfs::fuse {

// Whether this process may register passthrough files: CAP_SYS_ADMIN in the initial user namespace.
bool may_pass_through();

// The registry of one FUSE connection.
class KernelBacking final : public op::Backing {
 public:
  // `device` is the connection's /dev/fuse descriptor; it is only borrowed.
  explicit KernelBacking(int device) : device_(device) {}

  Result<int> open(int fd) override;
  void close(int backing) override;

 private:
  const int device_;
};

}  // namespace layerfs::fuse
