// Opening a store for service, and what an earlier process left half done.
#include <fcntl.h>
#include <sys/file.h>

#include <cerrno>
#include <set>

#include <spdlog/spdlog.h>

#include "layerstore/file_util.h"
#include "snapshotter/snapshotter.h"

namespace layerfs::snapshotter {

namespace {

constexpr const char* kHome = "containerd";
constexpr const char* kDatabase = "metadata.db";

// One server per store.
Outcome<sys::UniqueFd> lock_home(const store::StoreDir& store) {
  if (const Result<void> made = store::make_dir(store.fd(), kHome, 0700); !made) {
    return store::refuse_entry("cannot make '" + store.path(kHome) + "'", made.error());
  }
  const std::string name = std::string(kHome) + "/lock";
  Result<sys::UniqueFd> fd = store::open_file(store.fd(), name, O_RDWR | O_CREAT);
  if (!fd) return store::refuse_entry("cannot open '" + store.path(name) + "'", fd.error());
  if (::flock(fd->get(), LOCK_EX | LOCK_NB) == 0) return std::move(*fd);
  if (errno == EWOULDBLOCK) {
    return refuse("another layerfs-snapshotter serves the store '" + store.path() + "'", EBUSY);
  }
  return refuse("cannot lock '" + store.path(name) + "'", Errno::last());
}

// SQLite opens its files by their names: none of them is anything but a file.
Outcome<void> check_database(const store::StoreDir& store) {
  for (const char* end : {"", "-wal", "-shm", "-journal"}) {
    const std::string name = std::string(kHome) + "/" + kDatabase + end;
    const Result<sys::UniqueFd> fd = store::open_file(store.fd(), name, O_RDONLY);
    if (fd || fd.error().code() == ENOENT) continue;
    return store::refuse_entry("cannot open '" + store.path(name) + "'", fd.error());
  }
  return {};
}

}  // namespace

Answer<std::unique_ptr<Snapshotter>> Snapshotter::open(const std::string& root,
                                                       const Options& options) {
  LAYERFS_TRY_ASSIGN(store::Store store, store::Store::create(root));
  if (!is_plain_path(store.dir().path())) {
    return deny(Code::kInternal, "the path of the store '" + store.dir().path() +
                                     "' has a character that mount options give a meaning to "
                                     "(: , \\ \" '): choose another --root");
  }
  LAYERFS_TRY_ASSIGN(sys::UniqueFd lock, lock_home(store.dir()));
  LAYERFS_TRY(check_database(store.dir()));
  LAYERFS_TRY_ASSIGN(Catalog catalog,
                     Catalog::open(store.dir().path(std::string(kHome) + "/" + kDatabase)));
  std::unique_ptr<Snapshotter> snapshotter(
      new Snapshotter(std::move(store), options, std::move(lock), std::move(catalog)));
  LAYERFS_TRY(snapshotter->start());
  return snapshotter;
}

Answer<void> Snapshotter::start() {
  LAYERFS_TRY_ASSIGN(layers_, Layers::open(store_));
  LAYERFS_TRY_ASSIGN(workplaces_, Workplaces::open(store_.dir()));
  LAYERFS_TRY_ASSIGN(reserve_, Reserve::open(store_.dir(), std::string(kHome) + "/reserve"));
  LAYERFS_TRY_ASSIGN(live_mounts_, LiveMounts::open(store_.dir(), options_.helper));
  store::remove_orphans(store_.dir());
  LAYERFS_TRY(sweep());
  // An import may be under way: then the next cleanup does it.
  if (const Answer<void> collected = layers_->collect(); !collected) {
    spdlog::warn("{}", collected.error().sentence);
  }
  return {};
}

Answer<void> Snapshotter::take_back_publishing(const Row& row) {
  const std::string from = Layers::directory(*row.publishing);
  LAYERFS_TRY_ASSIGN(const bool there, workplaces_->exists(*row.dir));
  if (!there) {
    const Result<void> moved =
        store::move_entry(store_.dir().fd(), from, workplaces_->fd(), *row.dir);
    if (!moved && moved.error().code() != ENOENT) {
      return refuse("cannot move '" + store_.dir().path(from) + "' back", moved.error());
    }
  }
  return catalog_.set_publishing(row.id, std::nullopt);
}

// A commit sets `publishing` and clears it again under the layers' lock: whoever has that lock
// finds only what was interrupted.
Answer<void> Snapshotter::take_back_all(const Layers::Locked& locked) {
  LAYERFS_TRY_ASSIGN(const std::vector<Row> rows, catalog_.rows());
  for (const Row& row : rows) {
    if (!row.publishing || !row.dir) continue;
    LAYERFS_TRY(take_back_publishing(row));
    LAYERFS_TRY_ASSIGN(const bool used, catalog_.uses_layer(*row.publishing));
    if (!used) layers_->unpin(locked, *row.publishing);
  }
  return {};
}

Answer<void> Snapshotter::sweep() {
  LAYERFS_TRY_ASSIGN(const Layers::Locked locked, layers_->lock());
  LAYERFS_TRY(take_back_all(locked));
  LAYERFS_TRY_ASSIGN(const std::vector<Row> rows, catalog_.rows());
  std::set<std::string> used;
  std::vector<std::int64_t> mountable;
  for (const Row& row : rows) {
    if (row.kind != Kind::kCommitted) mountable.push_back(row.id);
    if (!row.dir) continue;
    // An error ends the start here: what follows removes what no row uses.
    LAYERFS_TRY_ASSIGN(const bool there, workplaces_->exists(*row.dir));
    if (there) {
      used.insert(*row.dir);
      continue;
    }
    spdlog::error("the snapshot '{}' has lost its directory '{}': it is dropped", row.key,
                  workplaces_->path(*row.dir));
    LAYERFS_TRY(catalog_.remove(row));
  }
  LAYERFS_TRY(live_mounts_->keep_only(mountable));
  LAYERFS_TRY_ASSIGN(const std::vector<std::string> present, workplaces_->ids());
  for (const std::string& id : present) {
    if (!used.contains(id)) workplaces_->remove(id);
  }
  LAYERFS_TRY_ASSIGN(const std::set<std::string> keys, catalog_.layers());
  for (const std::string& key : keys) {
    // What a commit that was killed at its very end left.
    const std::string work = Layers::directory(key) + "/work";
    static_cast<void>(store::remove_tree(store_.dir().fd(), work));
  }
  return layers_->pin_exactly(locked, keys);
}

}  // namespace layerfs::snapshotter
