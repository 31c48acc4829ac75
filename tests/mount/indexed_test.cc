// A mount of layers that have indexes.
#include <fcntl.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include <gtest/gtest.h>

#include "fs/layer/index_writer.h"
#include "fs/sys/unique_fd.h"
#include "tests/mount/live_mount.h"
#include "tests/support/command.h"
#include "tests/support/temp_dir.h"

namespace layerfs::test {
namespace {

class Indexed : public testing::Test {
 protected:
  void build(const std::string& script) {
    ASSERT_TRUE(shell(script, {.directory = dir_.make("layer")}).ok());
    const sys::UniqueFd tree(open((dir_ / "layer").c_str(), O_RDONLY | O_DIRECTORY));
    const sys::UniqueFd base(open(dir_.path().c_str(), O_RDONLY | O_DIRECTORY));
    const auto written = layer::write_index(tree.get(), base.get(), "index", false);
    ASSERT_TRUE(written) << written.error().sentence;
  }
  void mount(bool with_index) {
    fuse::MountOptions options;
    options.stack.lowerdirs = {dir_ / "layer"};
    if (with_index) options.stack.layer_indexes = {dir_ / "index"};
    options.mountpoint = root_ = dir_.make("mnt");
    mount_.emplace(options);
  }
  std::string look(const std::string& script) const {
    const Ran ran = shell(script, {.directory = root_});
    EXPECT_TRUE(ran.ok()) << ran.err;
    return ran.out;
  }

  const TempDir dir_;
  std::filesystem::path root_;
  std::optional<LiveMount> mount_;
};

TEST_F(Indexed, LayersAreWalkedWithoutBeingThere) {
  build(
      "mkdir -p a/b; echo 12 > a/b/file; ln -s b a/link; ln a/b/file hard; mknod null c 1 3;"
      "chmod 4711 hard");
  const std::string walk = "find . -printf '%p %y %m %s %n %T@ %l\\n' | sort";
  mount(false);
  const std::string before = look(walk);
  mount_.reset();
  mount(true);
  ASSERT_TRUE(shell("mkdir ../away; mv -- * ../away", {.directory = dir_ / "layer"}).ok());
  EXPECT_EQ(look(walk), before);
  EXPECT_NE(before.find("./a/b/file f 4711 3 2 "), std::string::npos) << before;
  EXPECT_EQ(look("test ! -e a/missing && echo missing"), "missing\n");
}

TEST_F(Indexed, DataIsReadFromTheLayer) {
  build("mkdir a; echo text > a/file; head -c 300000 /dev/urandom > a/large");
  mount(true);
  EXPECT_EQ(read_file(root_ / "a/file"), "text\n");
  EXPECT_EQ(read_file(root_ / "a/large"), read_file(dir_ / "layer/a/large"));
}

// Callers that copy trees or compare them give up on EOPNOTSUPP.
TEST_F(Indexed, AMountWithoutAnyXattrsSaysThatThereAreNone) {
  build("touch a; mkdir d; ln -s a l; mkfifo p");
  mount(true);
  char list[100];
  for (int i = 0; i < 2; ++i) {
    for (const std::string file : {"a", "d", "l", "p", "."}) {
      const std::string path = root_ / file;
      for (const char* name : {"user.x", "trusted.x", "security.capability", "security.selinux"}) {
        EXPECT_EQ(lgetxattr(path.c_str(), name, nullptr, 0), -1);
        EXPECT_EQ(errno, ENODATA) << file << " " << name;
      }
      EXPECT_EQ(llistxattr(path.c_str(), nullptr, 0), 0) << file;
      EXPECT_EQ(llistxattr(path.c_str(), list, sizeof list), 0) << file;
    }
    EXPECT_EQ(getxattr((root_ / "a").c_str(), "system.posix_acl_access", nullptr, 0), -1);
    EXPECT_EQ(errno, ENODATA);
  }
  EXPECT_EQ(look("{ getfattr -d -m - a d p && tar --xattrs -cf /dev/null . && echo done; } 2>&1"),
            "done\n");
}

TEST_F(Indexed, ThatThereAreNoXattrsIsKnownWithoutTheLayer) {
  build("mkdir d; touch d/a");
  mount(true);
  ASSERT_TRUE(shell("mkdir ../away; mv -- * ../away", {.directory = dir_ / "layer"}).ok());
  EXPECT_EQ(getxattr((root_ / "d/a").c_str(), "user.x", nullptr, 0), -1);
  EXPECT_EQ(errno, ENODATA);
  EXPECT_EQ(listxattr((root_ / "d/a").c_str(), nullptr, 0), 0);
}

TEST_F(Indexed, XattrsAreShownWhereALayerHasSome) {
  build("touch a b; setfattr -n user.name -v value a; setfacl -m u:7:r b");
  mount(true);
  EXPECT_EQ(look("getfattr -n user.name --only-values a"), "value");
  EXPECT_NE(look("getfacl -n b").find("user:7:r--"), std::string::npos);
  EXPECT_EQ(look("getfattr -d b"), "");
}

TEST_F(Indexed, RootOfAReadOnlyMountIsTheOneOfTheChosenLayer) {
  build("chmod 711 .; touch -d @1000 .; setfattr -n user.of -v chosen .");
  fuse::MountOptions options;
  options.stack.lowerdirs = {dir_.make("top"), dir_ / "layer"};
  options.stack.layer_indexes = {"", dir_ / "index"};
  options.stack.root_lower = 1;
  options.mountpoint = root_ = dir_.make("mnt");
  mount_.emplace(options);
  EXPECT_EQ(look("stat -c '%a %Y' .; getfattr --only-values -n user.of ."), "711 1000\nchosen");
}

}  // namespace
}  // namespace layerfs::test
