// What an image may take of the machine that it is imported on: memory, time and room on the disk.
// The program itself runs, so that its memory can be seen.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fs/sys/unique_fd.h"
#include "tests/support/command.h"
#include "tests/support/image.h"
#include "tests/support/loop_fs.h"
#include "tests/support/tar.h"
#include "tests/support/temp_dir.h"

namespace layerfs::test {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr long kMemoryFactor = 8;  // of what the sanitizers add
#else
constexpr long kMemoryFactor = 1;
#endif
constexpr long kFlatKilobytes = 100'000 * kMemoryFactor;
// Generous: the machine may be busy.
constexpr double kSeconds = 12 * kMemoryFactor;

struct Measured {
  int status = -1;
  std::string err;
  long kilobytes = 0;  // the most that it had in memory
  double seconds = 0;  // of processor time
};

std::string content(const fs::path& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

class Import : public testing::Test {
 protected:
  // `layerfs ARGS... --root STORE`, started.
  pid_t start(std::vector<std::string> args, int input = -1) const {
    args.insert(args.begin(), layerfs_program());
    if (args[1] != "index") args.push_back("--root=" + store_.string());
    std::vector<char*> words;
    for (std::string& arg : args) words.push_back(arg.data());
    words.push_back(nullptr);
    const std::string err = dir_ / "err";
    const pid_t child = ::fork();
    if (child != 0) return child;
    ::dup2(::open(err.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600), STDERR_FILENO);
    ::dup2(::open("/dev/null", O_WRONLY), STDOUT_FILENO);
    if (input >= 0) ::dup2(input, STDIN_FILENO);
    ::execv(words[0], words.data());
    ::_exit(127);
  }

  // The most that the process has had in memory, if it is the program by now; else 0. What wait4(2)
  // says includes what this process had when it forked.
  static long peak_of(pid_t child) {
    std::ifstream status("/proc/" + std::to_string(child) + "/status");
    bool is_program = false;
    for (std::string line; std::getline(status, line);) {
      if (line.starts_with("Name:")) is_program = line.find("layerfs") != line.npos;
      if (is_program && line.starts_with("VmHWM:")) return std::stol(line.substr(6));
    }
    return 0;
  }

  Measured wait(pid_t child) const {
    int status = 0;
    rusage usage = {};
    long kilobytes = 0;
    while (::wait4(child, &status, WNOHANG, &usage) == 0) {
      kilobytes = std::max(kilobytes, peak_of(child));
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    const auto seconds = [](const timeval& time) {
      return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
    };
    return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), content(dir_ / "err"),
            kilobytes, seconds(usage.ru_utime) + seconds(usage.ru_stime)};
  }

  Measured import(std::string tar, std::vector<std::string> options = {}) const {
    fs::remove_all(dir_ / "layout");
    write_layout(dir_ / "layout", "image", {{tar, LayerForm::kGzip}});
    tar = std::string();
    options.insert(options.begin(), {"import", dir_ / "layout"});
    return wait(start(options));
  }

  void expect_nothing_left() const {
    for (const char* name : {"tmp", "blobs/sha256", "layers/sha256"}) {
      EXPECT_TRUE(fs::is_empty(store_ / name)) << name;
    }
  }
  void expect_refused(const Measured& result, const std::string& sentence) const {
    EXPECT_EQ(result.status, 1);
    EXPECT_THAT(result.err, HasSubstr(sentence));
    EXPECT_LT(result.kilobytes, kFlatKilobytes);
    expect_nothing_left();
  }

  const TempDir dir_;
  fs::path store_ = dir_ / "store";
};

// The sum of a header, as it must be.
void seal(std::string& header) {
  header.replace(148, 8, "        ");
  unsigned sum = 0;
  for (const char c : header) sum += static_cast<unsigned char>(c);
  char text[8];
  std::snprintf(text, sizeof text, "%06o", sum);
  header.replace(148, 7, std::string(text, 7));
}

TEST_F(Import, ASparseMapWithoutEndTakesNoMemory) {
  std::string tar = make_unended_tar({tar_file("f")}).substr(0, 512);
  tar[156] = 'S';
  tar.replace(257, 8, std::string("ustar  \0", 8));
  const std::string place = std::string("00000000000\0", 12) + std::string("00000000000\0", 12);
  for (std::size_t i = 0; i < 4; ++i) tar.replace(386 + 24 * i, 24, place);
  tar[482] = 1;
  seal(tar);
  std::string block(512, '\0');
  for (std::size_t i = 0; i < 21; ++i) block.replace(24 * i, 24, place);
  block[504] = 1;
  for (int i = 0; i < 150'000; ++i) tar += block;
  expect_refused(import(std::move(tar)), "--max-header");
}

TEST_F(Import, AttributesOfDirectoriesTakeNoMemory) {
  std::string tar;
  for (int i = 0; i < 120; ++i) {
    TarEntry entry = tar_dir("d" + std::to_string(i));
    for (int a = 0; a < 16; ++a) {
      entry.pax.emplace_back("SCHILY.xattr.user.a" + std::to_string(a), std::string(60'000, 'x'));
    }
    tar += make_unended_tar({entry});
  }
  // Not every file system takes them; that shows at the end, when all have been read.
  tar += std::string(1024, '\0');
  const Measured result = import(std::move(tar));
  EXPECT_LT(result.kilobytes, kFlatKilobytes);
  if (result.status != 0) {
    EXPECT_THAT(result.err, HasSubstr("cannot set its extended attribute"));
    expect_nothing_left();
  }
}

TEST_F(Import, DirectoriesWithoutEntriesTakeLittleMemoryAndTime) {
  std::vector<TarEntry> entries;
  std::string deep;
  for (int i = 0; i < 1900; ++i) deep += "a/";
  for (int i = 0; i < 25; ++i) {
    TarEntry entry = tar_file("f");
    entry.pax = {{"path", std::to_string(i) + "/" + deep + "f"}};
    entries.push_back(entry);
  }
  const Measured result = import(make_tar(entries));
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_LT(result.kilobytes, kFlatKilobytes);
  EXPECT_LT(result.seconds, kSeconds);
  const Measured refused = import(make_tar(entries), {"--max-entries", "40000", "--name", "other"});
  EXPECT_EQ(refused.status, 0) << "the layer was there: " << refused.err;
  store_ = dir_ / "store2";
  expect_refused(import(make_tar(entries), {"--max-entries", "40000"}), "--max-entries");
}

TEST_F(Import, EveryLimitIsToldAndCanBeRaised) {
  const std::string tar = make_tar({tar_dir("d"), tar_file("d/f", std::string(5000, 'x'))});
  expect_refused(import(tar, {"--max-entries", "1"}), "more than 1, the limit of an import");
  expect_refused(import(tar, {"--max-size", "4999"}), "--max-size");
  expect_refused(import(tar, {"--max-document", "10"}), "--max-document");
  EXPECT_EQ(import(tar, {"--max-document", "17M"}).status, 2);
  EXPECT_EQ(import(tar, {"--max-entries", "2", "--max-size", "5000"}).status, 0);
}

TEST_F(Import, ThousandsOfNamesAreAddedAtOnce) {
  constexpr int kNames = 20'000;
  write_docker_archive(dir_ / "image.tar", "NAME", {{make_tar({tar_file("f", "x")})}});
  std::string names;
  for (int i = 0; i < kNames; ++i) names += (i ? "\",\"r" : "r") + std::to_string(i) + ":t";
  // Unpacked, the archive is a directory that may be changed.
  ASSERT_TRUE(run({"tar", "-xf", dir_ / "image.tar", "-C", dir_.make("unpacked")}).ok());
  std::string manifest = content(dir_ / "unpacked/manifest.json");
  manifest.replace(manifest.find("NAME"), 4, names);
  std::ofstream(dir_ / "unpacked/manifest.json") << manifest;
  const Measured result = wait(start({"import", dir_ / "unpacked"}));
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_LT(result.seconds, kSeconds / 2);
  const std::string index = content(store_ / "index.json");
  EXPECT_THAT(index, HasSubstr("r19999:t"));
  EXPECT_LT(wait(start({"images"})).seconds, kSeconds / 2);
}

TEST_F(Import, AFullDiskIsASentenceAndLeavesNothing) {
  store_ = mount_new_fs(dir_, "tmpfs", 24 << 20) / "store";
  const Measured result = import(make_tar({tar_file("f", std::string(64 << 20, 'x'))}));
  expect_refused(result, "No space left on device");
}

// Stops it once it has begun to unpack.
TEST_F(Import, ASignalEndsItAndLeavesNothing) {
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) {
    int ends[2];
    ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    const sys::UniqueFd from(ends[0]), to(ends[1]);
    const pid_t child = start({"import", "-", "--name", "image"}, from.get());
    // It reads what never ends.
    while (!fs::exists(store_ / "tmp") || fs::is_empty(store_ / "tmp")) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    ::kill(child, signal);
    const Measured result = wait(child);
    EXPECT_EQ(result.status, 1);
    EXPECT_THAT(result.err, HasSubstr("interrupted by a signal"));
    expect_nothing_left();
  }
}

TEST_F(Import, ASignalEndsALayerThatNeverEnds) {
  // 64 GiB of zeros, as members of one gzip file.
  TarEntry entry = tar_file("zeros");
  entry.pax = {{"size", std::to_string(64ULL << 30)}};
  const std::string zeros = gzipped(std::string(64 << 20, '\0'));
  std::string blob = gzipped(make_unended_tar({entry}));
  blob.reserve(blob.size() + 1024 * zeros.size());
  for (int i = 0; i < 1024; ++i) blob += zeros;
  write_layout(dir_ / "layout", "image",
               {{blob, LayerForm::kPlain, "application/vnd.oci.image.layer.v1.tar+gzip"}});
  blob = std::string();
  const pid_t child = start({"import", dir_ / "layout"});
  const auto staged = [&] {
    std::error_code gone;
    return std::ranges::any_of(fs::recursive_directory_iterator(store_, gone),
                               [](const auto& each) { return each.path().filename() == "zeros"; });
  };
  while (!staged()) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  ::kill(child, SIGTERM);
  const Measured result = wait(child);
  expect_refused(result, "interrupted by a signal");
}

TEST_F(Import, ASignalEndsACollectionThatWaits) {
  ASSERT_EQ(import(make_tar({tar_file("f")})).status, 0);
  const sys::UniqueFd lock(::open((store_ / "add.lock").c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_EQ(::flock(lock.get(), LOCK_SH), 0);
  const pid_t child = start({"gc"});
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  ::kill(child, SIGTERM);
  const Measured result = wait(child);
  EXPECT_EQ(result.status, 1);
  EXPECT_THAT(result.err, HasSubstr("interrupted by a signal"));
}

// A tree of so many levels cannot come in an archive, but under a mount.
TEST_F(Import, ADeepDirectoryIsIndexedInTimeInProportionToItsEntries) {
  sys::UniqueFd at(::open(dir_.make("deep").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  for (int i = 0; i < 16'000; ++i) {
    ASSERT_EQ(::mkdirat(at.get(), "d", 0700), 0);
    at.reset(::openat(at.get(), "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  }
  const Measured result = wait(start({"index", dir_ / "deep", dir_ / "file"}));
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_LT(result.seconds, kSeconds);
  EXPECT_LT(result.kilobytes, kFlatKilobytes);
  EXPECT_TRUE(run({"rm", "-rf", dir_ / "deep"}).ok());
}

}  // namespace
}  // namespace layerfs::test
