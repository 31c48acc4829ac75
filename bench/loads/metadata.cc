#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

#include "bench/loads/load.h"

namespace layerfs::bench {
namespace {

struct CloseDir {
  void operator()(DIR* dir) const { closedir(dir); }
};

// Lists and stats everything below, as find and du do.
std::size_t walk_below(int parent, const char* name) {
  const int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  // In a user namespace with one id some directories are those of others.
  if (fd < 0 && errno == EACCES) return 0;
  if (fd < 0) give_up(name);
  const std::unique_ptr<DIR, CloseDir> dir(fdopendir(fd));
  std::size_t seen = 0;
  while (const dirent* entry = readdir(dir.get())) {
    const std::string_view called = entry->d_name;
    if (called == "." || called == "..") continue;
    struct stat attr = {};
    ++seen;
    if (fstatat(fd, entry->d_name, &attr, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno == EACCES) continue;  // the kernel's overlayfs says so here already
      give_up(called);
    }
    if (S_ISDIR(attr.st_mode)) seen += walk_below(fd, entry->d_name);
  }
  return seen;
}

std::size_t walk(const Share& share) { return walk_below(AT_FDCWD, share.root.c_str()); }

std::size_t stat_all(const Share& share) {
  for (const std::string& name : share.names) {
    struct stat attr = {};
    if (lstat((share.root + "/" + name).c_str(), &attr) != 0) give_up(name);
  }
  return share.names.size();
}

std::size_t misses(const Share& share) {
  const std::string prefix = share.root + "/no-such-name-" + std::to_string(share.process) + "-";
  for (std::size_t i = 0; i < share.count; ++i) {
    struct stat attr = {};
    if (lstat((prefix + std::to_string(i)).c_str(), &attr) == 0) give_up("a name is there");
  }
  return share.count;
}

// Each process has a directory of its own.
std::string directory_of(const Share& share) {
  return share.root + "/of-" + std::to_string(share.process);
}

std::string file_of(const Share& share, std::size_t i) {
  return directory_of(share) + "/file-" + std::to_string(i);
}

std::size_t create(const Share& share) {
  if (mkdir(directory_of(share).c_str(), 0755) != 0 && errno != EEXIST) give_up(share.root);
  const std::string data(share.size, 'x');
  for (std::size_t i = 0; i < share.count; ++i) {
    const std::string path = file_of(share, i);
    const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0) give_up(path);
    if (write(fd, data.data(), data.size()) != static_cast<ssize_t>(data.size())) give_up(path);
    close(fd);
  }
  return share.count;
}

std::size_t rename_all(const Share& share) {
  for (std::size_t i = 0; i < share.count; ++i) {
    const std::string path = file_of(share, i);
    if (rename(path.c_str(), (path + ".new").c_str()) != 0) give_up(path);
  }
  return share.count;
}

// What `create` and `rename` left.
std::size_t unlink_all(const Share& share) {
  for (std::size_t i = 0; i < share.count; ++i) {
    const std::string path = file_of(share, i);
    if (unlink(path.c_str()) != 0 && unlink((path + ".new").c_str()) != 0) give_up(path);
  }
  return share.count;
}

}  // namespace

std::vector<Load> metadata_loads() {
  return {
      {"walk", "list and stat everything below --root", walk},
      {"stat", "stat each file of --list", stat_all},
      {"misses", "stat --count names that are not in --root", misses},
      {"create", "make --count files of --size bytes, in a directory for each process", create},
      {"rename", "rename what create made", rename_all},
      {"unlink", "remove what create made", unlink_all},
  };
}

}  // namespace layerfs::bench
