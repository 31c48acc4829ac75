// The question for security.capability, which the kernel puts before the first write to a file.
#include <sys/xattr.h>

#include <string>

#include <gtest/gtest.h>

#include "fs/op/file_system.h"
#include "fs/op/lookup.h"
#include "fs/op/namespace.h"
#include "fs/op/privileges.h"
#include "fs/op/xattr.h"
#include "tests/support/temp_dir.h"

namespace layerfs::op {
namespace {

using namespace std::string_literals;

class Capability : public ::testing::Test {
 protected:
  Capability() {
    options_.lowerdirs = {dir_.make("lower")};
    options_.upperdir = dir_.make("upper");
    options_.workdir = dir_.make("work");
    fs_ = *open_file_system(options_);
    node_ = mknod(*fs_, {}, kRootNode, "file", S_IFREG | 0755, 0)->node;
  }

  // Nobody else changes an upper directory: what this does can only be seen by looking at the disk.
  void give_on_the_disk() const {
    ASSERT_EQ(
        ::setxattr((dir_ / "upper/file").c_str(), kCapability, kValue.data(), kValue.size(), 0), 0);
  }

  // VFS_CAP_REVISION_2 with CAP_NET_RAW permitted and effective.
  const std::string kValue = "\1\0\0\2\0\x20"s + std::string(14, '\0');
  const test::TempDir dir_;
  StackOptions options_;
  FileSystemPtr fs_;
  NodeId node_ = 0;
};

TEST_F(Capability, OfWhatTheMountHasMadeIsAnsweredWithoutTheDisk) {
  give_on_the_disk();
  const auto answer = getxattr(*fs_, node_, kCapability);
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error(), Errno(ENODATA));
}

TEST_F(Capability, IsSeenOnceItIsGiven) {
  EXPECT_FALSE(getxattr(*fs_, node_, kCapability));
  ASSERT_TRUE(setxattr(*fs_, node_, kCapability, kValue, 0, false));
  EXPECT_EQ(getxattr(*fs_, node_, kCapability), kValue);
  ASSERT_TRUE(link(*fs_, node_, kRootNode, "other"));
  EXPECT_EQ(getxattr(*fs_, lookup(*fs_, kRootNode, "other")->node, kCapability), kValue);
  ASSERT_TRUE(removexattr(*fs_, node_, kCapability));
  EXPECT_FALSE(getxattr(*fs_, node_, kCapability));
}

TEST_F(Capability, OfWhatAnEarlierMountHasMadeIsAskedOfTheDisk) {
  give_on_the_disk();
  fs_.reset();
  fs_ = *open_file_system(options_);
  EXPECT_EQ(getxattr(*fs_, lookup(*fs_, kRootNode, "file")->node, kCapability), kValue);
}

}  // namespace
}  // namespace layerfs::op
