#include "snapshotter/workplaces.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <random>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "fs/sys/file.h"
#include "fs/sys/trusted_dir.h"
#include "layerstore/file_util.h"
#include "layerstore/root_attributes.h"

namespace layerfs::snapshotter {

namespace {

constexpr const char* kBase = "containerd/snapshots";

std::string random_id() {
  std::random_device device;
  return fmt::format("{:08x}{:08x}", device(), device());
}

Outcome<void> fill(const store::TempDir& temporary, const std::vector<store::Layer>& layers) {
  for (const char* name : {"fs", "work"}) {
    if (Result<void> made = store::make_dir(temporary.fd(), name, 0755); !made) {
      return refuse("cannot make '" + temporary.path() + "/" + name + "'", made.error());
    }
  }
  const Result<sys::UniqueFd> upper = store::open_dir(temporary.fd(), "fs");
  // Whatever the server's umask is.
  if (!upper || ::fchmod(upper->get(), 0755) != 0) {
    return refuse("cannot open '" + temporary.path() + "/fs'",
                  upper ? Errno::last() : upper.error());
  }
  return store::give_root_attributes(upper->get(), layers);
}

}  // namespace

Answer<Workplaces> Workplaces::open(const store::StoreDir& store) {
  if (Result<void> made = store::make_dir(store.fd(), kBase, 0700); !made) {
    return store::refuse_entry("cannot make '" + store.path(kBase) + "'", made.error());
  }
  Result<sys::UniqueFd> fd = store::open_dir(store.fd(), kBase);
  if (!fd) return store::refuse_entry("cannot open '" + store.path(kBase) + "'", fd.error());
  LAYERFS_TRY(sys::check_trusted(fd->get(), store.path(kBase)));
  return Workplaces(store, std::move(*fd));
}

Answer<std::string> Workplaces::make(const std::vector<store::Layer>& layers) const {
  LAYERFS_TRY_ASSIGN(store::TempDir temporary, store::TempDir::make(*store_));
  LAYERFS_TRY(fill(temporary, layers));
  while (true) {
    const std::string id = random_id();
    const Result<sys::UniqueFd> moved = temporary.move_to(fd_.get(), id);
    if (moved) return id;
    if (moved.error().code() != EEXIST) {
      return refuse("cannot make '" + path(id) + "'", moved.error());
    }
  }
}

void Workplaces::remove(const std::string& id) const {
  // First out of sight. Where the disk is too full for that, in place.
  if (const Outcome<store::TempDir> grave = store::TempDir::make(*store_)) {
    if (::renameat(fd_.get(), id.c_str(), grave->fd(), id.c_str()) == 0 || errno == ENOENT) return;
  }
  if (const Result<void> removed = store::remove_tree(fd_.get(), id); !removed) {
    spdlog::warn("cannot remove '{}' (errno {}): the next start will", path(id),
                 removed.error().code());
  }
}

Answer<bool> Workplaces::exists(const std::string& id) const {
  const Result<bool> there = sys::has_entry(fd_.get(), id.c_str());
  if (!there) return refuse("cannot look at '" + path(id) + "'", there.error());
  return *there;
}

Answer<std::vector<std::string>> Workplaces::ids() const {
  Result<std::vector<std::string>> names = store::list_dir(fd_.get(), ".");
  if (names) return std::move(*names);
  return refuse("cannot list '" + store_->path(kBase) + "'", names.error());
}

std::string Workplaces::path(const std::string& id) const { return store_->path(kBase) + "/" + id; }

}  // namespace layerfs::snapshotter
