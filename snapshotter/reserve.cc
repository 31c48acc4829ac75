#include "snapshotter/reserve.h"

#include <fcntl.h>
#include <unistd.h>

#include "layerstore/file_util.h"

namespace layerfs::snapshotter {

namespace {

// The database's journal needs some pages for a change, and its shared memory 32 KiB.
constexpr off_t kSize = 256 << 10;

}  // namespace

Answer<Reserve> Reserve::open(const store::StoreDir& store, const std::string& name) {
  Result<sys::UniqueFd> fd = store::open_file(store.fd(), name, O_RDWR | O_CREAT);
  if (!fd) return store::refuse_entry("cannot open '" + store.path(name) + "'", fd.error());
  Reserve reserve(std::move(*fd));
  reserve.refill();
  return reserve;
}

void Reserve::give_up() const { static_cast<void>(::ftruncate(fd_.get(), 0) == 0); }

// Where it fails there is less to give up.
void Reserve::refill() const { static_cast<void>(::posix_fallocate(fd_.get(), 0, kSize)); }

}  // namespace layerfs::snapshotter
