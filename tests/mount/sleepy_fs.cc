// A FUSE file system that shows a directory and sleeps where it is told to.
//
//   sleepy-fs DIRECTORY CONTROL MOUNTPOINT -f [options of libfuse]
//
// While CONTROL/OP, where OP is getattr, open, read or readdir, holds the path of a file, such as
// /dir/name, that operation on it sleeps, and CONTROL/asleep is there.
#define FUSE_USE_VERSION 317
#include <dirent.h>
#include <fcntl.h>
#include <fuse.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

namespace {

std::string shown;    // NOLINT: set before anything is served, as below
std::string control;  // NOLINT

void sleep_if_told(const char* operation, const char* path) {
  for (;;) {
    std::string told;
    std::ifstream(control + "/" + operation) >> told;
    if (told != path) return;
    std::ofstream(control + "/asleep") << operation;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

int answer(long result) { return result < 0 ? -errno : static_cast<int>(result); }

int get_attributes(const char* path, struct stat* st, fuse_file_info*) {
  sleep_if_told("getattr", path);
  return answer(lstat((shown + path).c_str(), st));
}

int read_link(const char* path, char* target, std::size_t size) {
  const ssize_t length = readlink((shown + path).c_str(), target, size - 1);
  if (length < 0) return -errno;
  target[length] = '\0';
  return 0;
}

int open_file(const char* path, fuse_file_info* info) {
  sleep_if_told("open", path);
  const int fd = open((shown + path).c_str(), info->flags & O_ACCMODE);
  if (fd < 0) return -errno;
  info->fh = static_cast<std::uint64_t>(fd);
  return 0;
}

int read_file(const char* path, char* data, std::size_t size, off_t offset, fuse_file_info* info) {
  sleep_if_told("read", path);
  return answer(pread(static_cast<int>(info->fh), data, size, offset));
}

int release_file(const char*, fuse_file_info* info) {
  return answer(close(static_cast<int>(info->fh)));
}

int read_directory(const char* path, void* data, fuse_fill_dir_t fill, off_t, fuse_file_info*,
                   fuse_readdir_flags) {
  sleep_if_told("readdir", path);
  DIR* dir = opendir((shown + path).c_str());
  if (dir == nullptr) return -errno;
  while (const dirent* entry = readdir(dir)) {
    struct stat st = {};
    st.st_ino = entry->d_ino;
    st.st_mode = DTTOIF(entry->d_type);
    fill(data, entry->d_name, &st, 0, fuse_fill_dir_flags(0));
  }
  closedir(dir);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) return 2;
  shown = argv[1];
  control = argv[2];
  std::vector<char*> arguments = {argv[0]};
  arguments.insert(arguments.end(), argv + 3, argv + argc);
  fuse_operations operations = {};
  operations.getattr = get_attributes;
  operations.readlink = read_link;
  operations.open = open_file;
  operations.read = read_file;
  operations.release = release_file;
  operations.readdir = read_directory;
  return fuse_main(static_cast<int>(arguments.size()), arguments.data(), &operations, nullptr);
}
