// How many requests usual calls cost. A number that grows here is a slower mount.
#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fs/sys/unique_fd.h"
#include "tests/mount/live_mount.h"
#include "tests/support/command.h"
#include "tests/support/temp_dir.h"

namespace layerfs::test {
namespace {

using Requests = std::map<std::string, std::uint64_t>;
using testing::IsEmpty;

class RequestCount : public testing::Test {
 protected:
  RequestCount() {
    for (const std::string name : {"f", "g", "h"}) {
      write_file(dir_ / "lower/dir" / name, "lower " + name);
      write_file(dir_ / "upper/dir" / ("u" + name), "upper " + name);
    }
    std::filesystem::create_symlink("f", dir_ / "lower/dir/link");
    std::filesystem::copy("/bin/true", dir_ / "lower/dir/program");
    write_file(dir_ / "lower/dir/script", "#!/bin/sh\necho ran\n");
    ::chmod((dir_ / "lower/dir/script").c_str(), 0755);
    dir_.make("work");
    mount_.emplace(options());
    // What the kernel asks only once in the life of a mount.
    list(root_);
    read_file(root_ / "dir/h");
  }

  fuse::MountOptions options() const {
    fuse::MountOptions options;
    options.stack.lowerdirs = {dir_ / "lower"};
    options.stack.upperdir = dir_ / "upper";
    options.stack.workdir = dir_ / "work";
    options.mountpoint = dir_.make("mnt");
    return options;
  }

  Requests requests_of(const std::function<void()>& action) { return mount_->requests_of(action); }

  static void list(const std::filesystem::path& directory) {
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(directory)) {
    }
  }
  static bool has(const std::filesystem::path& path) {
    struct stat attr = {};
    return lstat(path.c_str(), &attr) == 0;
  }

  const TempDir dir_;
  const std::filesystem::path root_ = dir_ / "mnt";
  std::optional<LiveMount> mount_;
};

TEST_F(RequestCount, AFirstStatIsOneLookup) {
  EXPECT_EQ(requests_of([&] { EXPECT_TRUE(has(root_ / "dir/f")); }), Requests({{"LOOKUP", 1}}));
}

TEST_F(RequestCount, ASecondStatIsFree) {
  has(root_ / "dir/f");
  EXPECT_THAT(requests_of([&] { EXPECT_TRUE(has(root_ / "dir/f")); }), IsEmpty());
}

TEST_F(RequestCount, ANameThatIsNotThereIsAskedForOnce) {
  EXPECT_EQ(requests_of([&] { EXPECT_FALSE(has(root_ / "dir/none")); }), Requests({{"LOOKUP", 1}}));
  EXPECT_THAT(requests_of([&] { EXPECT_FALSE(has(root_ / "dir/none")); }), IsEmpty());
}

TEST_F(RequestCount, ASymlinkIsReadOnce) {
  const auto first = requests_of([&] { EXPECT_EQ(read_file(root_ / "dir/link"), "lower f"); });
  EXPECT_EQ(first.at("READLINK"), 1U);
  EXPECT_EQ(requests_of([&] { read_file(root_ / "dir/link"); }).count("READLINK"), 0U);
}

TEST_F(RequestCount, AThirdListingIsFree) {
  list(root_ / "dir");
  list(root_ / "dir");
  EXPECT_THAT(requests_of([&] { list(root_ / "dir"); }), IsEmpty());
}

TEST_F(RequestCount, AListingSeesAChangeAtOnce) {
  list(root_ / "dir");
  list(root_ / "dir");
  std::filesystem::create_directory(root_ / "dir/new");
  bool seen = false;
  for (const auto& entry : std::filesystem::directory_iterator(root_ / "dir")) {
    seen = seen || entry.path().filename() == "new";
  }
  EXPECT_TRUE(seen);
}

TEST_F(RequestCount, AListingWithAttributesNeedsNoLookups) {
  const auto made = requests_of([&] {
    for (const auto& entry : std::filesystem::directory_iterator(root_ / "dir")) {
      EXPECT_TRUE(has(entry.path()));
    }
  });
  EXPECT_EQ(made.count("LOOKUP"), 0U) << testing::PrintToString(made);
  EXPECT_EQ(made.count("GETATTR"), 0U) << testing::PrintToString(made);
}

// What a listing says of a file may be old when the kernel takes it in, and with its writeback
// cache the kernel would believe it (tests/mount/listing_test.cc).
TEST_F(RequestCount, WithTheWritebackCacheAListingLeavesEachFileToOneLookup) {
  mount_.reset();
  fuse::MountOptions cached = options();
  cached.stack.passthrough = op::PassthroughPolicy::kNone;
  cached.writeback = true;
  mount_.emplace(cached);
  const auto made = requests_of([&] {
    for (const auto& entry : std::filesystem::directory_iterator(root_ / "dir")) {
      EXPECT_TRUE(has(entry.path()));
    }
  });
  EXPECT_EQ(made.at("LOOKUP"), 1U + 8U) << testing::PrintToString(made);  // dir; not link
}

TEST_F(RequestCount, ReadingAnUpperFileIsOpenAndRelease) {
  has(root_ / "dir/uf");
  EXPECT_EQ(requests_of([&] { EXPECT_EQ(read_file(root_ / "dir/uf"), "upper f"); }),
            Requests({{"OPEN", 1}, {"RELEASE", 1}}));
}

// Before the first write after its attributes came, the kernel asks whether a file has
// capabilities.
TEST_F(RequestCount, WritingAnUpperFileIsOpenAndOneGetxattrAndRelease) {
  has(root_ / "dir/uf");
  EXPECT_EQ(requests_of([&] {
              const sys::UniqueFd fd(open((root_ / "dir/uf").c_str(), O_WRONLY));
              for (int i = 0; i < 10; ++i) EXPECT_EQ(write(fd.get(), "text", 4), 4);
            }),
            Requests({{"OPEN", 1}, {"GETXATTR", 1}, {"RELEASE", 1}}));
}

TEST_F(RequestCount, ANewFileIsCreateAndOneGetxattrAndRelease) {
  EXPECT_FALSE(has(root_ / "dir/new"));
  EXPECT_EQ(requests_of([&] {
              const sys::UniqueFd fd(open((root_ / "dir/new").c_str(), O_WRONLY | O_CREAT, 0644));
              EXPECT_EQ(write(fd.get(), "text", 4), 4);
            }),
            Requests({{"CREATE", 1}, {"GETXATTR", 1}, {"RELEASE", 1}}));
}

// A name that nobody has asked for is looked up first (fuse_atomic_open()), after the directory,
// which has just changed, was asked for its attributes.
TEST_F(RequestCount, OneNewFileAfterAnotherIsFiveRequests) {
  const auto make = [&](const char* name) {
    const sys::UniqueFd fd(open((root_ / "dir" / name).c_str(), O_WRONLY | O_CREAT, 0644));
    EXPECT_EQ(write(fd.get(), "text", 4), 4);
  };
  make("first");
  EXPECT_EQ(
      requests_of([&] { make("second"); }),
      Requests({{"GETATTR", 1}, {"LOOKUP", 1}, {"CREATE", 1}, {"GETXATTR", 1}, {"RELEASE", 1}}));
}

TEST_F(RequestCount, StatAfterAWriteIsOneGetattr) {
  const sys::UniqueFd fd(open((root_ / "dir/uf").c_str(), O_WRONLY));
  EXPECT_EQ(write(fd.get(), "a longer text", 13), 13);
  struct stat attr = {};
  EXPECT_EQ(requests_of([&] { EXPECT_EQ(fstat(fd.get(), &attr), 0); }), Requests({{"GETATTR", 1}}));
  EXPECT_EQ(attr.st_size, 13);
  EXPECT_THAT(requests_of([&] { EXPECT_EQ(fstat(fd.get(), &attr), 0); }), IsEmpty());
}

TEST_F(RequestCount, AChangeOfModeIsOneSetattr) {
  has(root_ / "dir/uf");
  EXPECT_EQ(requests_of([&] { EXPECT_EQ(chmod((root_ / "dir/uf").c_str(), 0600), 0); }),
            Requests({{"SETATTR", 1}}));
}

// Capabilities again.
TEST_F(RequestCount, AChangeOfOwnerOrSizeIsOneSetattrAndOneGetxattr) {
  has(root_ / "dir/uf");
  has(root_ / "dir/ug");
  EXPECT_EQ(requests_of([&] { EXPECT_EQ(chown((root_ / "dir/uf").c_str(), 1, 1), 0); }),
            Requests({{"GETXATTR", 1}, {"SETATTR", 1}}));
  EXPECT_EQ(requests_of([&] { EXPECT_EQ(truncate((root_ / "dir/ug").c_str(), 3), 0); }),
            Requests({{"GETXATTR", 1}, {"SETATTR", 1}}));
}

TEST_F(RequestCount, TheFirstUnlinkInADirectoryIsOneUnlink) {
  has(root_ / "dir/uf");
  EXPECT_EQ(requests_of([&] { EXPECT_EQ(unlink((root_ / "dir/uf").c_str()), 0); }),
            Requests({{"UNLINK", 1}}));
}

// A change to a directory makes the kernel forget its attributes, which it asks for before it next
// checks a permission there.
TEST_F(RequestCount, FurtherChangesInADirectoryAskForItsAttributes) {
  has(root_ / "dir/uf");
  has(root_ / "dir/ug");
  unlink((root_ / "dir/uh").c_str());
  EXPECT_EQ(requests_of([&] { EXPECT_EQ(unlink((root_ / "dir/uf").c_str()), 0); }),
            Requests({{"GETATTR", 1}, {"UNLINK", 1}}));
  const std::string sub = root_ / "dir/sub";
  EXPECT_EQ(requests_of([&] { EXPECT_EQ(mkdir(sub.c_str(), 0755), 0); }),
            Requests({{"GETATTR", 1}, {"LOOKUP", 1}, {"MKDIR", 1}}));
  EXPECT_EQ(requests_of([&] { EXPECT_EQ(rmdir(sub.c_str()), 0); }),
            Requests({{"GETATTR", 1}, {"RMDIR", 1}}));
}

// A name that must not be there, or is to be replaced, is always looked up again.
TEST_F(RequestCount, ARenameLooksItsTargetUp) {
  has(root_ / "dir/uf");
  EXPECT_EQ(requests_of([&] {
              EXPECT_EQ(rename((root_ / "dir/uf").c_str(), (root_ / "dir/new").c_str()), 0);
            }),
            Requests({{"LOOKUP", 1}, {"RENAME", 1}}));
}

TEST_F(RequestCount, CloseAsksNothingButRelease) {
  const sys::UniqueFd fd(open((root_ / "dir/uf").c_str(), O_RDWR));
  EXPECT_THAT(requests_of([&] { sys::UniqueFd(dup(fd.get())); }), IsEmpty());
}

TEST_F(RequestCount, ALowerFileIsReadOnce) {
  has(root_ / "dir/f");
  EXPECT_EQ(requests_of([&] { EXPECT_EQ(read_file(root_ / "dir/f"), "lower f"); }),
            Requests({{"OPEN", 1}, {"READ", 1}, {"RELEASE", 1}}));
  EXPECT_EQ(requests_of([&] { EXPECT_EQ(read_file(root_ / "dir/f"), "lower f"); }),
            Requests({{"OPEN", 1}, {"RELEASE", 1}}));
}

// Run once before, so that the kernel knows the name.
TEST_F(RequestCount, RunningALowerProgramReadsNothingThroughTheDaemon) {
  const std::string program = root_ / "dir/program";
  EXPECT_TRUE(run({program}).ok());
  EXPECT_EQ(requests_of([&] { EXPECT_TRUE(run({program}).ok()); }),
            Requests({{"GETXATTR", 1}, {"OPEN", 1}, {"RELEASE", 1}}));
  std::ofstream("/proc/sys/vm/drop_caches") << "1";
  EXPECT_FALSE(requests_of([&] { EXPECT_TRUE(run({program}).ok()); }).contains("READ"));
}

TEST_F(RequestCount, ALowerScriptIsReadOnce) {
  const std::string script = root_ / "dir/script";
  EXPECT_EQ(requests_of([&] { EXPECT_EQ(run({script}).out, "ran\n"); }).at("READ"), 1U);
  EXPECT_FALSE(requests_of([&] { EXPECT_EQ(run({script}).out, "ran\n"); }).contains("READ"));
}

TEST_F(RequestCount, AppendingToALowerFileIsOpenAndOneGetxattrAndRelease) {
  has(root_ / "dir/f");
  EXPECT_EQ(requests_of([&] {
              const sys::UniqueFd fd(open((root_ / "dir/f").c_str(), O_WRONLY | O_APPEND));
              EXPECT_EQ(write(fd.get(), "text", 4), 4);
            }),
            Requests({{"OPEN", 1}, {"GETXATTR", 1}, {"RELEASE", 1}}));
}

TEST_F(RequestCount, EmptyingALowerFileIsOpenAndOneGetxattrAndRelease) {
  has(root_ / "dir/f");
  EXPECT_EQ(
      requests_of([&] { sys::UniqueFd(open((root_ / "dir/f").c_str(), O_WRONLY | O_TRUNC)); }),
      Requests({{"OPEN", 1}, {"GETXATTR", 1}, {"RELEASE", 1}}));
}

TEST_F(RequestCount, AChangeOfALowerFileCostsWhatOneOfAnUpperFileDoes) {
  has(root_ / "dir/f");
  has(root_ / "dir/g");
  EXPECT_EQ(requests_of([&] { EXPECT_EQ(chmod((root_ / "dir/f").c_str(), 0600), 0); }),
            Requests({{"SETATTR", 1}}));
  EXPECT_EQ(requests_of([&] { EXPECT_EQ(chown((root_ / "dir/g").c_str(), 1, 1), 0); }),
            Requests({{"GETXATTR", 1}, {"SETATTR", 1}}));
}

TEST_F(RequestCount, TheFirstUnlinkOfALowerFileIsOneUnlink) {
  has(root_ / "dir/f");
  EXPECT_EQ(requests_of([&] { EXPECT_EQ(unlink((root_ / "dir/f").c_str()), 0); }),
            Requests({{"UNLINK", 1}}));
}

TEST_F(RequestCount, ANewNameLooksItselfUpFirst) {
  has(root_ / "dir/uf");
  EXPECT_EQ(requests_of([&] { EXPECT_EQ(symlink("uf", (root_ / "dir/s").c_str()), 0); }),
            Requests({{"LOOKUP", 1}, {"SYMLINK", 1}}));
  EXPECT_EQ(requests_of(
                [&] { EXPECT_EQ(link((root_ / "dir/uf").c_str(), (root_ / "dir/l").c_str()), 0); }),
            Requests({{"GETATTR", 1}, {"LINK", 1}, {"LOOKUP", 1}}));
}

TEST_F(RequestCount, FsyncIsOneFsync) {
  const sys::UniqueFd fd(open((root_ / "dir/uf").c_str(), O_RDWR));
  EXPECT_EQ(requests_of([&] { EXPECT_EQ(fsync(fd.get()), 0); }), Requests({{"FSYNC", 1}}));
}

TEST_F(RequestCount, WritingAndMappingAnOpenUpperFileIsFree) {
  const sys::UniqueFd fd(open((root_ / "dir/uf").c_str(), O_RDWR));
  EXPECT_EQ(write(fd.get(), "text", 4), 4);
  EXPECT_THAT(requests_of([&] {
                EXPECT_EQ(pwrite(fd.get(), "more text", 9, 0), 9);
                void* mapped = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
                ASSERT_NE(mapped, MAP_FAILED);
                *static_cast<char*>(mapped) = 'M';
                munmap(mapped, 4096);
              }),
              IsEmpty());
}

// The kernel keeps none of them.
TEST_F(RequestCount, XattrsAreAskedForEachTime) {
  has(root_ / "dir/uf");
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(requests_of([&] { listxattr((root_ / "dir/uf").c_str(), nullptr, 0); }),
              Requests({{"LISTXATTR", 1}}));
  }
}

}  // namespace
}  // namespace layerfs::test
