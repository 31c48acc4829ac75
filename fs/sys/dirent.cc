#include "fs/sys/dirent.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <vector>

namespace layerfs::sys {
namespace {

// linux_dirent64 of getdents64(2).
constexpr std::size_t kInoOffset = 0;
constexpr std::size_t kLengthOffset = 16;
constexpr std::size_t kTypeOffset = 18;
constexpr std::size_t kNameOffset = 19;

template <typename T>
T load(const char* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

bool is_dot(const char* name) {
  return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

}  // namespace

Result<void> read_dir(int dirfd, const std::function<Result<void>(const Dirent&)>& fn) {
  thread_local std::vector<char> buffer(256 * 1024);
  // A sink that reads another directory would overwrite the thread's buffer under us.
  std::vector<char> mine;
  mine.swap(buffer);
  if (mine.empty()) mine.resize(256 * 1024);
  struct GiveBack {
    std::vector<char>& from;
    ~GiveBack() { buffer.swap(from); }
  } give_back{mine};

  if (::lseek(dirfd, 0, SEEK_SET) < 0) return fail(Errno::last());
  for (;;) {
    long length = ::syscall(SYS_getdents64, dirfd, mine.data(), mine.size());
    if (length < 0) return fail(Errno::last());
    if (length == 0) return {};
    for (const char *at = mine.data(), *end = at + length; at < end;) {
      Dirent entry{at + kNameOffset, load<std::uint8_t>(at + kTypeOffset),
                   static_cast<ino_t>(load<std::uint64_t>(at + kInoOffset))};
      at += load<std::uint16_t>(at + kLengthOffset);
      if (!is_dot(entry.name)) LAYERFS_TRY(fn(entry));
    }
  }
}

}  // namespace layerfs::sys
