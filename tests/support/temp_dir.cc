#include "tests/support/temp_dir.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <sstream>
#include <stdexcept>
#include <system_error>
#include <vector>

namespace layerfs::test {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail_with_errno(const std::string& what) {
  throw std::runtime_error(what + ": " + std::generic_category().message(errno));
}

// mountinfo writes space, tab, newline and backslash as \ooo.
std::string unescape(const std::string& field) {
  std::string out;
  for (size_t i = 0; i < field.size(); ++i) {
    if (field[i] == '\\' && i + 3 < field.size()) {
      out += static_cast<char>(std::stoi(field.substr(i + 1, 3), nullptr, 8));
      i += 3;
    } else {
      out += field[i];
    }
  }
  return out;
}

// Mount points below `root`, the latest mount first.
std::vector<std::string> mounts_below(const std::string& root) {
  std::vector<std::string> found;
  std::ifstream table("/proc/self/mountinfo");
  for (std::string line; std::getline(table, line);) {
    std::istringstream fields(line);
    std::string skip, point;
    fields >> skip >> skip >> skip >> skip >> point;
    point = unescape(point);
    if (point == root || point.starts_with(root + "/")) found.push_back(point);
  }
  std::reverse(found.begin(), found.end());
  return found;
}

// Removes what is in the directory at `dirfd` named `name`, staying on its file system `device`.
void remove_tree(int dirfd, const char* name, dev_t device) {
  struct stat st;
  if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) != 0 || st.st_dev != device) return;
  if (S_ISDIR(st.st_mode)) {
    const fs::path self = fs::path("/proc/self/fd") / std::to_string(dirfd) / name;
    const int fd = openat(dirfd, name, O_DIRECTORY | O_NOFOLLOW | O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
      std::vector<std::string> names;
      std::error_code ignored;  // a directory that can't be listed stays, and rmdir says so
      for (const auto& entry : fs::directory_iterator(self, ignored))
        names.push_back(entry.path().filename());
      for (const auto& child : names) remove_tree(fd, child.c_str(), device);
      close(fd);
    }
  }
  unlinkat(dirfd, name, S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0);
}

}  // namespace

TempDir::TempDir() {
  const char* base = std::getenv("TMPDIR");
  std::string pattern = std::string(base && *base ? base : "/tmp") + "/layerfs-test-XXXXXX";
  if (!mkdtemp(pattern.data())) fail_with_errno("cannot make " + pattern);
  path_ = fs::canonical(pattern);
}

TempDir::~TempDir() {
  for (const auto& point : mounts_below(path_.string())) umount2(point.c_str(), MNT_DETACH);
  struct stat st;
  if (lstat(path_.c_str(), &st) == 0) remove_tree(AT_FDCWD, path_.c_str(), st.st_dev);
}

fs::path TempDir::make(std::string_view name) const {
  fs::path made = path_ / name;
  fs::create_directories(made);
  return made;
}

void write_file(const fs::path& file, std::string_view content) {
  fs::create_directories(file.parent_path());
  std::ofstream stream(file, std::ios::binary | std::ios::trunc);
  stream.write(content.data(), static_cast<std::streamsize>(content.size()));
  stream.close();
  if (!stream) fail_with_errno("cannot write " + file.string());
}

std::string read_file(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  if (!stream) fail_with_errno("cannot read " + file.string());
  return {std::istreambuf_iterator<char>(stream), {}};
}

}  // namespace layerfs::test
