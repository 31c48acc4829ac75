// What the daemon keeps. The mount is served by this process, so that its allocations can be
// counted to the byte. LAYERFS_CHURN_ROUNDS makes the load longer, for runs by hand.
#include <fcntl.h>
#include <malloc.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "fs/sys/unique_fd.h"
#include "tests/mount/live_mount.h"
#include "tests/support/temp_dir.h"

namespace layerfs::test {
namespace {

namespace fs = std::filesystem;

constexpr int kDirs = 20;
constexpr int kFilesEach = 500;
constexpr long kFiles = long{kDirs} * kFilesEach;

long used_bytes() { return static_cast<long>(mallinfo2().uordblks); }

long descriptors() {
  long count = 0;
  for ([[maybe_unused]] const auto& each : fs::directory_iterator("/proc/self/fd")) ++count;
  return count;
}

class Memory : public testing::Test {
 protected:
  Memory() {
    for (int d = 0; d < kDirs; ++d) {
      fs::create_directories(dir_ / "lower" / std::to_string(d));
      for (int i = 0; i < kFilesEach; ++i)
        ::mknod((dir_ / "lower" / name(d, i)).c_str(), S_IFREG | 0644, 0);
    }
    for (const char* each : {"upper", "work", "mnt"}) dir_.make(each);
    fuse::MountOptions options;
    options.stack.lowerdirs = {dir_ / "lower"};
    options.stack.upperdir = dir_ / "upper";
    options.stack.workdir = dir_ / "work";
    options.mountpoint = root_;
    // A thread keeps buffers from the first request on that needs them.
    options.threads = 1;
    options.transport = fuse::Transport::kDevFuse;
    mount_.emplace(options);
  }
  static std::string name(int dir, int file) { return fmt::format("{}/file-{:06}", dir, file); }

  // What the kernel no longer uses it forgets, and tells the daemon.
  void make_kernel_forget() const {
    std::ofstream("/proc/sys/vm/drop_caches") << "2";
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
  }

  const TempDir dir_;
  const fs::path root_ = dir_ / "mnt";
  std::optional<LiveMount> mount_;
};

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST_F(Memory, AKnownInodeCostsLittleAndNoDescriptor) {
  // A node, its entry in the directory, its name and its place in the table of nodes.
  constexpr long kMostPerInode = 180;
  std::vector<sys::UniqueFd> held(kFiles);
  auto hold = [&](int from, int to) {
    for (int d = from; d < to; ++d)
      for (int i = 0; i < kFilesEach; ++i)
        held[static_cast<std::size_t>(d * kFilesEach + i)].reset(
            ::open((root_ / name(d, i)).c_str(), O_PATH | O_CLOEXEC));
  };
  // The buffers of the threads come with the first.
  hold(0, kDirs / 2);
  const long before = used_bytes();
  const long descriptors_before = descriptors();
  hold(kDirs / 2, kDirs);
  constexpr long kMeasured = kFiles / 2;
  const long all = used_bytes();
  const long each = (all - before) / kMeasured;
  RecordProperty("bytes_per_known_inode", static_cast<int>(each));
  EXPECT_LE(each, kMostPerInode);
  EXPECT_GT(each, 32) << "nothing was known, so nothing was measured";
  EXPECT_LE(descriptors() - descriptors_before - kMeasured, kDirs / 2 + 4);
  held.clear();
  make_kernel_forget();
  // The merged directories stay; the nodes do not, but for a note where file handles find them.
  constexpr long kLeastGivenBack = 24;
  const long given_back = (all - used_bytes()) / kFiles;
  RecordProperty("bytes_given_back_per_inode", static_cast<int>(given_back));
  EXPECT_GE(given_back, kLeastGivenBack);
}
#endif

// One round of making, walking, changing and deleting.
void churn(const fs::path& root) {
  const fs::path top = root / "churn";
  for (int d = 0; d < 5; ++d) {
    fs::create_directories(top / std::to_string(d));
    for (int i = 0; i < 40; ++i) {
      const fs::path file = top / std::to_string(d) / std::to_string(i);
      std::ofstream(file) << i;
      if (i % 5 == 1) fs::create_hard_link(file, file.string() + "-linked");
      if (i % 7 == 2) std::ofstream(file, std::ios::app) << "more";
      if (i % 3 == 0) fs::rename(file, file.string() + "-renamed");
    }
  }
  struct stat st = {};
  for (const auto& entry : fs::recursive_directory_iterator(root))
    ::lstat(entry.path().c_str(), &st);
  fs::remove_all(top);
}

TEST_F(Memory, MakingWalkingAndDeletingLeavesItFlat) {
  const char* given = std::getenv("LAYERFS_CHURN_ROUNDS");
  const int rounds = given == nullptr ? 12 : std::atoi(given);
  constexpr int kWarmUp = 4;
  long bytes = 0, open = 0;
  for (int round = 0; round < rounds; ++round) {
    churn(root_);
    if (round != kWarmUp - 1 && round != rounds - 1) continue;
    make_kernel_forget();
    if (round == kWarmUp - 1) {
      bytes = used_bytes();
      open = descriptors();
    }
  }
  // What one of the few hundred files of a round leaves behind would show.
  EXPECT_LE(used_bytes() - bytes, 64 * 1024);
  EXPECT_LE(descriptors() - open, 8);
}

}  // namespace
}  // namespace layerfs::test
