#include "snapshotter/reserve.h"

#include <fcntl.h>
#include <unistd.h>

namespace layerfs::snapshotter {

namespace {

// The database's journal needs some pages for a change, and its shared memory 32 KiB.
constexpr off_t kSize = 256 << 10;

}  // namespace

Answer<Reserve> Reserve::open(const std::string& path) {
  sys::UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) return refuse("cannot open '" + path + "'", Errno::last());
  Reserve reserve(std::move(fd));
  reserve.refill();
  return reserve;
}

void Reserve::give_up() const { static_cast<void>(::ftruncate(fd_.get(), 0) == 0); }

// Where it fails there is less to give up.
void Reserve::refill() const { static_cast<void>(::posix_fallocate(fd_.get(), 0, kSize)); }

}  // namespace layerfs::snapshotter
