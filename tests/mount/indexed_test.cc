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

TEST_F(Indexed, XattrsAreAskedForOnceWhereNoLayerHasAny) {
  build("touch a b");
  mount(true);
  const std::string a = root_ / "a";
  const std::string b = root_ / "b";
  const auto ask = [](const std::string& file) {
    EXPECT_EQ(getxattr(file.c_str(), "security.capability", nullptr, 0), -1);
  };
  ask(a);
  const auto counts = mount_->requests_of([&] {
    ask(a);
    ask(b);
  });
  EXPECT_FALSE(counts.contains("GETXATTR"));
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
