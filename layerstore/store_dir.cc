#include "layerstore/store_dir.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <random>
#include <vector>

#include "fs/sys/xattr.h"
#include "layerstore/file_util.h"

namespace layerfs::store {

namespace {

using Names = std::vector<std::string>;

constexpr const char* kLayout = "{\"imageLayoutVersion\":\"1.0.0\"}\n";
constexpr const char* kEmptyIndex =
    "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.index.v1+json\","
    "\"manifests\":[]}\n";
constexpr const char* kAddLock = "add.lock";
constexpr const char* kIndexLock = "index.lock";

sys::UniqueFd open_directory(int dirfd, const char* path) {
  return sys::UniqueFd(::openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

bool exists(int dirfd, const char* name) {
  return ::faccessat(dirfd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

bool is_empty_directory(const std::string& path) {
  std::error_code error;
  return std::filesystem::is_empty(path, error) && !error;
}

std::string absolute_path(const std::string& path) {
  std::error_code error;
  std::filesystem::path absolute = std::filesystem::absolute(path, error).lexically_normal();
  if (!absolute.has_filename()) absolute = absolute.parent_path();  // "/store/"
  return absolute.string();
}

Result<sys::UniqueFd> lock_file(int dirfd, const char* name, int operation) {
  sys::UniqueFd fd(::openat(dirfd, name, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd) return fail(errno);
  while (::flock(fd.get(), operation) != 0) {
    if (errno != EINTR) return fail(errno);
  }
  return fd;
}

// Whether a store may be made there. The lock is what another maker, or one that was killed, writes
// first: it has to be looked for after the emptiness.
bool may_become_store(int fd, const std::string& root) {
  return is_empty_directory(root) || exists(fd, kIndexLock) || exists(fd, "oci-layout") ||
         exists(fd, "layers");
}

// oci-layout comes last: with it the directory is a store.
Result<void> fill(int fd) {
  LAYERFS_TRY_ASSIGN(const sys::UniqueFd lock, lock_file(fd, kIndexLock, LOCK_EX));
  for (const char* name : {"blobs", "blobs/sha256"}) LAYERFS_TRY(make_dir(fd, name, 0755));
  // Layers hold setuid programs of whatever age: nobody else may reach them here.
  for (const char* name : {"layers", "layers/sha256", "snapshots", "tmp"}) {
    LAYERFS_TRY(make_dir(fd, name, 0700));
  }
  if (!exists(fd, "index.json")) LAYERFS_TRY(replace_file(fd, "index.json", kEmptyIndex));
  if (!exists(fd, "oci-layout")) LAYERFS_TRY(replace_file(fd, "oci-layout", kLayout));
  return {};
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
  struct stat held, named;
  return ::fstat(fd, &held) == 0 &&
         ::fstatat(dirfd, name.c_str(), &named, AT_SYMLINK_NOFOLLOW) == 0 &&
         held.st_ino == named.st_ino && held.st_dev == named.st_dev;
}

}  // namespace

Outcome<StoreDir> StoreDir::open(const std::string& root) {
  sys::UniqueFd fd = open_directory(AT_FDCWD, root.c_str());
  if (!fd && errno != ENOENT) return refuse("cannot open the store '" + root + "'", Errno::last());
  if (!fd || !exists(fd.get(), "oci-layout") || !exists(fd.get(), "layers")) {
    return refuse("there is no store at '" + root + "': `layerfs import` makes one", ENOENT);
  }
  return StoreDir(absolute_path(root), std::move(fd));
}

Outcome<StoreDir> StoreDir::create(const std::string& root) {
  std::error_code error;
  std::filesystem::create_directories(root, error);
  if (error) return refuse("cannot make the store '" + root + "'", Errno(error.value()));
  sys::UniqueFd fd = open_directory(AT_FDCWD, root.c_str());
  if (!fd) return refuse("cannot open the store '" + root + "'", Errno::last());
  if (!may_become_store(fd.get(), root)) {
    return refuse("'" + root + "' is neither a store nor empty: choose another --root", ENOTEMPTY);
  }
  if (Result<void> filled = fill(fd.get()); !filled) {
    return refuse("cannot make the store '" + root + "'", filled.error());
  }
  return StoreDir(absolute_path(root), std::move(fd));
}

Outcome<sys::UniqueFd> StoreDir::lock(const char* name, int operation) const {
  Result<sys::UniqueFd> fd = lock_file(fd_.get(), name, operation);
  if (fd) return std::move(*fd);
  if (fd.error().code() == EWOULDBLOCK) return sys::UniqueFd();
  return refuse("cannot lock '" + path(name) + "'", fd.error());
}

Outcome<sys::UniqueFd> StoreDir::lock_for_adding() const { return lock(kAddLock, LOCK_SH); }

Outcome<sys::UniqueFd> StoreDir::lock_for_collecting(bool wait) const {
  return lock(kAddLock, wait ? LOCK_EX : LOCK_EX | LOCK_NB);
}

Outcome<sys::UniqueFd> StoreDir::lock_index() const { return lock(kIndexLock, LOCK_EX); }

Outcome<TempDir> TempDir::make(const StoreDir& store) {
  while (true) {
    const std::string name = "tmp/" + random_name();
    if (::mkdirat(store.fd(), name.c_str(), 0700) != 0) {
      if (errno == EEXIST) continue;
      return refuse("cannot make a directory in '" + store.path("tmp") + "'", Errno::last());
    }
    sys::UniqueFd fd = open_directory(store.fd(), name.c_str());
    // Between mkdir and flock another importer may have taken it for an orphan.
    if (!fd || ::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) continue;
    if (!still_named(fd.get(), store.fd(), name)) continue;
    // All that is unpacked or written would inherit it.
    if (const auto plain = sys::drop_inherited(fd.get(), 0700); !plain) {
      return refuse("cannot make a directory in '" + store.path("tmp") + "'", plain.error());
    }
    return TempDir(store.path(name), std::move(fd));
  }
}

TempDir::~TempDir() {
  // What cannot be removed now is an orphan for the next import.
  if (fd_) static_cast<void>(remove_tree(AT_FDCWD, path_));
}

std::vector<std::string> orphans(const StoreDir& store) {
  std::vector<std::string> left;
  for (const std::string& entry : list_dir(store.fd(), "tmp").value_or(Names())) {
    std::string name = "tmp/" + entry;
    const sys::UniqueFd fd = open_directory(store.fd(), name.c_str());
    if (!fd && errno == ENOENT) continue;  // its owner removed it just now
    if (fd && ::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) continue;
    left.push_back(std::move(name));
  }
  return left;
}

void remove_orphans(const StoreDir& store) {
  for (const std::string& name : orphans(store)) {
    const sys::UniqueFd fd = open_directory(store.fd(), name.c_str());
    if (fd && ::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) continue;
    static_cast<void>(remove_tree(store.fd(), name));
  }
}

}  // namespace layerfs::store
