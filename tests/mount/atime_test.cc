// Times of access, as the options of the mount ask for them.
#include <fcntl.h>
#include <sys/stat.h>

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/mount/union_fixture.h"

namespace layerfs::test {
namespace {

class Atime : public Union {
 protected:
  // Mounts a union whose file was last read in 2001 and written in 2002, which relatime leaves.
  void mount_with(const std::vector<std::string>& options) {
    mount(
        "mkdir upper/dir; for f in upper/file upper/dir/file lower/low; do echo text >$f; done\n"
        "touch -d 2002-01-01 upper/file lower/low && touch -a -d @" +
        std::to_string(kRead) + " upper/file lower/low");
    mount_.reset();
    fuse::MountOptions mount;
    mount.stack.lowerdirs = {layers_[0], layers_[1]};
    mount.stack.upperdir = dir_ / "upper";
    mount.stack.workdir = dir_ / "work";
    mount.mountpoint = root_;
    for (const std::string& option : options) {
      if (option == "ro") {
        mount.read_only = true;
      } else {
        mount.kernel_options.push_back(option);
      }
    }
    mount_.emplace(mount);
  }
  // Whether reading the file sets its time, as the mount and as its layer show it.
  bool reading_counts(const std::string& name, const std::string& layer) {
    EXPECT_EQ(read_file(root_ / name), "text\n");
    const bool counts = attr_of(root_ / name).st_atime != kRead;
    EXPECT_EQ(attr_of(dir_ / layer / name).st_atime != kRead, counts);
    return counts;
  }

  // Whether another reading, a moment later, sets the time once more.
  bool reading_again_counts() const {
    const timespec before = attr_of(root_ / "file").st_atim;
    ::usleep(20'000);
    EXPECT_EQ(read_file(root_ / "file"), "text\n");
    return attr_of(root_ / "file").st_atim.tv_nsec != before.tv_nsec;
  }

  static constexpr time_t kRead = 1000000000;
};

TEST_F(Atime, IsRelativeByItself) {
  mount_with({});
  EXPECT_TRUE(reading_counts("file", "upper"));
}

TEST_F(Atime, RelativeTimesAreSetOnceADay) {
  mount_with({"relatime"});
  EXPECT_TRUE(reading_counts("file", "upper"));
  EXPECT_FALSE(reading_again_counts());
}

TEST_F(Atime, StrictTimesAreSetByEachRead) {
  mount_with({"strictatime"});
  EXPECT_TRUE(reading_counts("file", "upper"));
  EXPECT_TRUE(reading_again_counts());
}

TEST_F(Atime, NoneAreSetWithNoatime) {
  mount_with({"noatime"});
  EXPECT_FALSE(reading_counts("file", "upper"));
}

TEST_F(Atime, NoneAreSetOfAReadOnlyMount) {
  mount_with({"ro", "strictatime"});
  EXPECT_FALSE(reading_counts("file", "upper"));
  const timespec before = attr_of(dir_ / "upper/dir").st_atim;
  EXPECT_EQ(out("mnt", "ls dir"), "file\n");
  EXPECT_EQ(attr_of(dir_ / "upper/dir").st_atim.tv_nsec, before.tv_nsec);
}

// The daemon reads it when something below is looked up.
TEST_F(Atime, ALookupDoesNotReadTheDirectory) {
  mount_with({"strictatime"});
  const timespec before = attr_of(dir_ / "upper/dir").st_atim;
  ::usleep(20'000);
  EXPECT_EQ(read_file(root_ / "dir/file"), "text\n");
  const timespec after = attr_of(dir_ / "upper/dir").st_atim;
  EXPECT_EQ(after.tv_nsec, before.tv_nsec);
}

TEST_F(Atime, NoneAreSetInALowerLayer) {
  mount_with({"strictatime"});
  EXPECT_FALSE(reading_counts("low", "lower"));
}

}  // namespace
}  // namespace layerfs::test
