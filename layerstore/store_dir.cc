#include "layerstore/store_dir.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <random>
#include <string_view>

#include "fs/sys/file.h"
#include "fs/sys/interruption.h"
#include "fs/sys/xattr.h"
#include "layerstore/file_util.h"

namespace layerfs::store {

namespace {

using Names = std::vector<std::string>;

constexpr const char* kLayout = "{\"imageLayoutVersion\":\"1.0.0\"}\n";
constexpr const char* kEmptyIndex =
    "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.index.v1+json\","
    "\"manifests\":[]}\n";
constexpr const char* kTemporary = "tmp";
constexpr const char* kAddLock = "add.lock";
constexpr const char* kIndexLock = "index.lock";

// Where a store keeps what it trusts, in an order in which parents come first.
constexpr std::array kOwnDirectories = {"blobs",         "blobs/sha256", "layers",
                                        "layers/sha256", "snapshots",    "tmp",
                                        "pins",          "image-store",  "containerd"};

Result<sys::UniqueFd> lock_file(int dirfd, const char* name, int operation) {
  LAYERFS_TRY_ASSIGN(sys::UniqueFd fd, open_file(dirfd, name, O_RDWR | O_CREAT));
  while (::flock(fd.get(), operation) != 0) {
    if (errno != EINTR || sys::interruption_requested()) return fail(errno);
  }
  return fd;
}

// Whether a store may be made there. The lock is what another maker, or one that was killed, writes
// first: it has to be looked for after the emptiness.
bool may_become_store(int fd) {
  const Result<std::vector<std::string>> names = list_dir(fd, ".");
  return (names && names->empty()) || has_entry(fd, kIndexLock) || has_entry(fd, "oci-layout") ||
         has_entry(fd, "layers");
}

// Unless it is there.
Result<void> add_file(int fd, const char* name, const char* content) {
  const Result<struct stat> there = stat_entry(fd, name);
  if (there) return {};
  if (there.error().code() != ENOENT) return fail(there.error());
  return replace_file(fd, name, content);
}

// oci-layout comes last: with it the directory is a store.
Result<void> fill(int fd) {
  LAYERFS_TRY_ASSIGN(const sys::UniqueFd lock, lock_file(fd, kIndexLock, LOCK_EX));
  for (const char* name : {"blobs", "blobs/sha256"}) LAYERFS_TRY(make_dir(fd, name, 0755));
  // Layers hold setuid programs of whatever age: nobody else may reach them here.
  for (const char* name : {"layers", "layers/sha256", "snapshots", "tmp"}) {
    LAYERFS_TRY(make_dir(fd, name, 0700));
  }
  LAYERFS_TRY(add_file(fd, "index.json", kEmptyIndex));
  return add_file(fd, "oci-layout", kLayout);
}

std::string random_name() {
  static constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyz0123456789";
  std::random_device device;
  std::string name;
  for (int i = 0; i < 12; ++i) name += kLetters[device() % kLetters.size()];
  return name;
}

// Whether the descriptor's directory is still the one with this name.
bool still_named(int fd, int dirfd, const std::string& name) {
  const auto held = sys::stat_fd(fd);
  const auto named = sys::stat_at(dirfd, name.c_str());
  return held && named && held->st_ino == named->st_ino && held->st_dev == named->st_dev;
}

// Whether a directory of tmp/ has an owner: then its lock cannot be had.
bool is_owned(int tmp, const std::string& name) {
  const Result<sys::UniqueFd> fd = open_dir(tmp, name);
  // Its owner may have removed it just now.
  if (!fd) return fd.error().code() == ENOENT;
  return ::flock(fd->get(), LOCK_EX | LOCK_NB) != 0;
}

tl::unexpected<Failure> not_trusted(const std::string& root, const Failure& why) {
  return refuse("the store '" + root + "' cannot be used: " + why.sentence, why.code);
}

}  // namespace

Outcome<StoreDir> StoreDir::open(const std::string& root) {
  Outcome<sys::TrustedDir> dir = sys::open_trusted(root);
  if (!dir && dir.error().code != ENOENT) return not_trusted(root, dir.error());
  const auto none =
      refuse("there is no store at '" + root + "': `layerfs import` makes one", ENOENT);
  if (!dir) return none;
  LAYERFS_TRY_ASSIGN(StoreDir store, checked(std::move(*dir)));
  if (!has_entry(store.fd(), "oci-layout") || !has_entry(store.fd(), "layers")) return none;
  return store;
}

Outcome<StoreDir> StoreDir::create(const std::string& root) {
  Outcome<sys::TrustedDir> dir = sys::make_trusted(root, 0755);
  if (!dir) return not_trusted(root, dir.error());
  if (!may_become_store(dir->fd.get())) {
    return refuse("'" + root + "' is neither a store nor empty: choose another --root", ENOTEMPTY);
  }
  LAYERFS_TRY_ASSIGN(StoreDir store, checked(std::move(*dir)));
  if (Result<void> filled = fill(store.fd()); !filled) {
    return refuse_entry("cannot make the store '" + root + "'", filled.error());
  }
  return store;
}

Outcome<StoreDir> StoreDir::checked(sys::TrustedDir root) {
  Result<sys::UniqueFd> fd = open_dir(root.fd.get(), ".");
  if (!fd) return refuse("the store '" + root.path + "' cannot be opened", fd.error());
  StoreDir store(std::move(root.path), std::move(*fd));
  for (const char* name : kOwnDirectories) {
    const auto dir = sys::open_beneath(store.fd(), name, O_PATH | O_DIRECTORY);
    // What cannot be reached is not used; `layerfs check` says what is missing.
    if (!dir && (dir.error().code() == ENOENT || dir.error().code() == EACCES)) continue;
    if (!dir) return refuse_entry("cannot open '" + store.path(name) + "'", dir.error());
    if (auto good = sys::check_trusted(dir->get(), store.path(name)); !good) {
      return not_trusted(store.path(), good.error());
    }
  }
  return store;
}

Outcome<sys::UniqueFd> StoreDir::lock(const char* name, int operation) const {
  Result<sys::UniqueFd> fd = lock_file(fd_.get(), name, operation);
  if (fd) return std::move(*fd);
  if (fd.error().code() == EWOULDBLOCK) return sys::UniqueFd();
  if (fd.error().code() == EINTR) return sys::interrupted();
  return refuse_entry("cannot lock '" + path(name) + "'", fd.error());
}

Outcome<sys::UniqueFd> StoreDir::lock_for_adding() const { return lock(kAddLock, LOCK_SH); }

Outcome<sys::UniqueFd> StoreDir::lock_for_collecting(bool wait) const {
  return lock(kAddLock, wait ? LOCK_EX : LOCK_EX | LOCK_NB);
}

Outcome<sys::UniqueFd> StoreDir::lock_index() const { return lock(kIndexLock, LOCK_EX); }

Outcome<TempDir> TempDir::make(const StoreDir& store) {
  const auto failed = [&](Errno error) {
    return refuse_entry("cannot make a directory in '" + store.path(kTemporary) + "'", error);
  };
  Result<sys::UniqueFd> parent = open_dir(store.fd(), kTemporary);
  if (!parent) return failed(parent.error());
  while (true) {
    const std::string name = random_name();
    if (::mkdirat(parent->get(), name.c_str(), 0700) != 0) {
      if (errno == EEXIST) continue;
      return failed(Errno::last());
    }
    Result<sys::UniqueFd> fd = open_dir(parent->get(), name);
    // Between mkdir and flock another importer may have taken it for an orphan.
    if (!fd || ::flock(fd->get(), LOCK_EX | LOCK_NB) != 0) continue;
    if (!still_named(fd->get(), parent->get(), name)) continue;
    // All that is unpacked or written would inherit it.
    if (const auto plain = sys::drop_inherited(fd->get(), 0700); !plain) {
      return failed(plain.error());
    }
    return TempDir(std::move(*parent), name, store.path(kTemporary) + "/" + name, std::move(*fd));
  }
}

TempDir::~TempDir() {
  // What cannot be removed now is an orphan for the next import.
  if (fd_) static_cast<void>(remove_tree(parent_.get(), name_));
}

Result<sys::UniqueFd> TempDir::move_to(int dirfd, const std::string& name) {
  LAYERFS_TRY(move_entry(parent_.get(), name_, dirfd, name, RENAME_NOREPLACE));
  return std::move(fd_);
}

std::vector<std::string> orphans(const StoreDir& store) {
  std::vector<std::string> left;
  const Result<sys::UniqueFd> tmp = open_dir(store.fd(), kTemporary);
  if (!tmp) return left;
  for (const std::string& name : list_dir(tmp->get(), ".").value_or(Names())) {
    if (!is_owned(tmp->get(), name)) left.push_back(std::string(kTemporary) + "/" + name);
  }
  return left;
}

void remove_orphans(const StoreDir& store) {
  for (const std::string& name : orphans(store)) {
    const Result<sys::UniqueFd> fd = open_dir(store.fd(), name);
    if (fd && ::flock(fd->get(), LOCK_EX | LOCK_NB) != 0) continue;
    static_cast<void>(remove_tree(store.fd(), name));
  }
}

}  // namespace layerfs::store
