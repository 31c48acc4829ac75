// What was opened or mapped before a copy-up, and after, shows what was last written.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>
#include <string>
#include <tuple>

#include <gtest/gtest.h>

#include "fs/sys/unique_fd.h"
#include "tests/mount/live_mount.h"
#include "tests/support/elf_file.h"
#include "tests/support/temp_dir.h"

namespace layerfs::test {
namespace {

using op::PassthroughPolicy;

constexpr std::size_t kSize = 40'000;
constexpr std::size_t kMapped = 128 * 1024;

// Shared memory of a file, read by a system call: beyond the end of the file that is no SIGBUS.
class Mapping {
 public:
  explicit Mapping(int fd, int protection = PROT_READ)
      : memory_(::mmap(nullptr, kMapped, protection, MAP_SHARED, fd, 0)) {}
  ~Mapping() {
    if (memory_ != MAP_FAILED) ::munmap(memory_, kMapped);
  }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  char* memory() const { return static_cast<char*>(memory_); }
  // As far as the file goes, to the end of a page.
  std::string read(std::size_t size) const {
    std::string all(size, '\0');
    const iovec to{all.data(), size};
    const iovec from{memory_, size};
    const ssize_t got = ::process_vm_readv(::getpid(), &to, 1, &from, 1, 0);
    all.resize(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
    return all;
  }
  void forget_pages() const { ::madvise(memory_, kMapped, MADV_DONTNEED); }

 private:
  void* memory_;
};

std::string read_all(int fd) {
  std::string all(kMapped, '\0');
  const ssize_t got = ::pread(fd, all.data(), all.size(), 0);
  all.resize(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
  return all;
}

// What is in the lower layer's `file`.
std::string old_content(const std::string& file) {
  std::string content = file == "program" ? elf_file(ET_EXEC, kSize) : std::string(kSize, 'a');
  for (std::size_t i = sizeof(Elf64_Ehdr); i < kSize; i += 10)
    content[i] = static_cast<char>('b' + i / 1000 % 20);
  return content;
}

// One way to change a file: on disk, and what is in it afterwards.
struct Change {
  const char* name;
  bool (*act)(const char* path);
  std::string (*expected)(std::string);
};

bool write_some(const char* path) {
  const sys::UniqueFd fd(::open(path, O_RDWR | O_CLOEXEC));
  return ::pwrite(fd.get(), "written", 7, 5000) == 7;
}
bool append_some(const char* path) {
  const sys::UniqueFd fd(::open(path, O_WRONLY | O_APPEND | O_CLOEXEC));
  return ::write(fd.get(), "appended", 8) == 8;
}
bool store_some(const char* path) {
  const sys::UniqueFd fd(::open(path, O_RDWR | O_CLOEXEC));
  const Mapping mapping(fd.get(), PROT_READ | PROT_WRITE);
  std::copy_n("stored", 6, mapping.memory() + 9000);
  return true;
}
bool shrink(const char* path) { return ::truncate(path, 7777) == 0; }
bool shrink_and_extend(const char* path) {
  return ::truncate(path, 7777) == 0 && ::truncate(path, 50'000) == 0;
}
bool extend(const char* path) { return ::truncate(path, 60'000) == 0; }
bool allocate(const char* path) {
  const sys::UniqueFd fd(::open(path, O_RDWR | O_CLOEXEC));
  return ::fallocate(fd.get(), 0, 0, 70'000) == 0;
}
bool punch(const char* path) {
  const sys::UniqueFd fd(::open(path, O_RDWR | O_CLOEXEC));
  return ::fallocate(fd.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 1000, 20'000) == 0;
}
bool overwrite(const char* path) {
  const sys::UniqueFd fd(::open(path, O_WRONLY | O_TRUNC | O_CLOEXEC));
  return ::write(fd.get(), "anew", 4) == 4;
}
bool write_after_chmod(const char* path) { return ::chmod(path, 0640) == 0 && write_some(path); }

std::string put(std::string content, std::size_t at, const std::string& bytes) {
  return content.replace(at, bytes.size(), bytes);
}
std::string sized(std::string content, std::size_t size) {
  content.resize(size, '\0');
  return content;
}

const Change kChanges[] = {
    {"Write", write_some, [](std::string c) { return put(std::move(c), 5000, "written"); }},
    {"Append", append_some, [](std::string c) { return c + "appended"; }},
    {"Store", store_some, [](std::string c) { return put(std::move(c), 9000, "stored"); }},
    {"Truncate", shrink, [](std::string c) { return sized(std::move(c), 7777); }},
    {"TruncateAndExtend", shrink_and_extend,
     [](std::string c) { return sized(sized(std::move(c), 7777), 50'000); }},
    {"Extend", extend, [](std::string c) { return sized(std::move(c), 60'000); }},
    {"Fallocate", allocate, [](std::string c) { return sized(std::move(c), 70'000); }},
    {"PunchHole", punch,
     [](std::string c) { return put(std::move(c), 1000, std::string(20'000, '\0')); }},
    {"Overwrite", overwrite, [](std::string) { return std::string("anew"); }},
    {"WriteAfterChmod", write_after_chmod,
     [](std::string c) { return put(std::move(c), 5000, "written"); }},
};

struct Setting {
  const char* name;
  PassthroughPolicy policy;
  const char* file;       // of the lower layer
  bool old_views_follow;  // what was open before the copy-up shows the new data
  bool writeback = false;
};

const Setting kSettings[] = {
    {"Default", PassthroughPolicy::kAuto, "data", true},
    {"DefaultForExecutableData", PassthroughPolicy::kAuto, "executable-data", true},
    {"UpperPassedThrough", PassthroughPolicy::kUpper, "program", true},
    {"NothingPassedThrough", PassthroughPolicy::kNone, "program", true},
    {"WritebackCache", PassthroughPolicy::kNone, "program", true, true},
    // The price of passing lower files through (doc/tree.md).
    {"DefaultForPrograms", PassthroughPolicy::kAuto, "program", false},
    {"AllPassedThrough", PassthroughPolicy::kAll, "data", false},
};

enum class Writer { kThisProcess, kAnotherProcess };

void perform(const Change& change, const std::string& path, Writer writer) {
  if (writer == Writer::kThisProcess) {
    ASSERT_TRUE(change.act(path.c_str())) << errno;
    return;
  }
  const pid_t child = ::fork();
  if (child == 0) ::_exit(change.act(path.c_str()) ? 0 : 1);
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_EQ(status, 0);
}

class Stale : public testing::TestWithParam<std::tuple<Setting, Change, Writer>> {
 protected:
  Stale() {
    for (const char* name : {"data", "executable-data", "program"}) {
      write_file(dir_ / "lower" / name, old_content(name));
      if (name != std::string("data")) ::chmod((dir_ / "lower" / name).c_str(), 0755);
    }
    for (const char* name : {"upper", "work", "mnt"}) dir_.make(name);
  }
  fuse::MountOptions options(PassthroughPolicy policy) const {
    fuse::MountOptions options;
    options.stack.lowerdirs = {dir_ / "lower"};
    options.stack.passthrough = policy;
    options.mountpoint = dir_ / "mnt";
    return options;
  }
  void mount_writable(const Setting& setting) {
    fuse::MountOptions all = options(setting.policy);
    all.writeback = setting.writeback;
    all.stack.upperdir = dir_ / "upper";
    all.stack.workdir = dir_ / "work";
    mount_.emplace(all);
  }

  const TempDir dir_;
  std::optional<LiveMount> mount_;
};

// A descriptor and a mapping made of it.
struct View {
  explicit View(const std::string& path)
      : fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC)), mapping(fd.get()) {}
  void touch() const {
    read_all(fd.get());
    mapping.read(kSize);
  }
  void expect(const std::string& content, const std::string& whose) const {
    EXPECT_TRUE(read_all(fd.get()) == content) << whose << " descriptor is stale";
    EXPECT_TRUE(mapping.read(content.size()) == content) << whose << " mapping is stale";
  }
  void forget_pages() const {
    mapping.forget_pages();
    ::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED);
  }
  sys::UniqueFd fd;
  Mapping mapping;
};

TEST_P(Stale, NothingThatFollowsShowsOldData) {
  const auto& [setting, change, writer] = GetParam();
  mount_writable(setting);
  const std::string path = dir_ / "mnt" / setting.file;
  const std::string original = old_content(setting.file);
  const View before(path);
  before.touch();
  perform(change, path, writer);
  const std::string content = change.expected(original);
  const std::string old = setting.old_views_follow ? content : original;
  const View after(path);
  before.expect(old, "an older");
  after.expect(content, "a newer");
  before.forget_pages();
  after.forget_pages();
  before.expect(old, "an older, evicted");
  after.expect(content, "a newer, evicted");
  std::ofstream("/proc/sys/vm/drop_caches") << "3";
  before.expect(old, "an older, dropped");
  after.expect(content, "a newer, dropped");
  View(path).expect(content, "the newest");
  struct stat st = {};
  EXPECT_EQ(::stat(path.c_str(), &st), 0);
  EXPECT_EQ(static_cast<std::size_t>(st.st_size), content.size());
  EXPECT_TRUE(read_file(dir_ / "lower" / setting.file) == original) << "the lower changed";
}

// A second change, when the file is in the upper and the old views are still there.
TEST_P(Stale, NorAfterASecondChange) {
  const auto& [setting, change, writer] = GetParam();
  mount_writable(setting);
  const std::string path = dir_ / "mnt" / setting.file;
  const std::string original = old_content(setting.file);
  const View before(path);
  before.touch();
  ASSERT_TRUE(write_some(path.c_str()));
  const View between(path);
  between.touch();
  perform(change, path, writer);
  const std::string content = change.expected(put(original, 5000, "written"));
  before.expect(setting.old_views_follow ? content : original, "an older");
  between.expect(content, "a middle");
  between.forget_pages();
  between.expect(content, "a middle, evicted");
  View(path).expect(content, "the newest");
}

INSTANTIATE_TEST_SUITE_P(
    Everywhere, Stale,
    testing::Combine(testing::ValuesIn(kSettings), testing::ValuesIn(kChanges),
                     testing::Values(Writer::kThisProcess, Writer::kAnotherProcess)),
    [](const auto& cell) {
      return std::string(std::get<0>(cell.param).name) + std::get<1>(cell.param).name +
             (std::get<2>(cell.param) == Writer::kThisProcess ? "Here" : "Elsewhere");
    });

class ReadOnly : public Stale {};

TEST_P(ReadOnly, EveryViewShowsTheLayerAndNothingCanBeWritten) {
  mount_.emplace(options(std::get<0>(GetParam()).policy));
  const std::string file = std::get<0>(GetParam()).file;
  const std::string path = dir_ / "mnt" / file;
  const View view(path);
  view.expect(old_content(file), "the");
  view.forget_pages();
  std::ofstream("/proc/sys/vm/drop_caches") << "3";
  view.expect(old_content(file), "the dropped");
  for (const std::string& way : {path, "/proc/self/fd/" + std::to_string(view.fd.get())}) {
    EXPECT_EQ(::open(way.c_str(), O_RDWR | O_CLOEXEC), -1);
    EXPECT_EQ(errno, EROFS);
  }
  EXPECT_EQ(::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, view.fd.get(), 0),
            MAP_FAILED);
}

INSTANTIATE_TEST_SUITE_P(Everywhere, ReadOnly,
                         testing::Combine(testing::ValuesIn(kSettings),
                                          testing::Values(kChanges[0]),
                                          testing::Values(Writer::kThisProcess)),
                         [](const auto& cell) {
                           return std::string(std::get<0>(cell.param).name);
                         });

}  // namespace
}  // namespace layerfs::test
