// What other users prepare for a command of root, and a user's own store in a user namespace.
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/e2e/layerfs.h"
#include "tests/support/image.h"
#include "tests/support/tar.h"

namespace layerfs::test {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class OthersCommands : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(::chmod(layerfs_.dir().path().c_str(), 0755), 0);
    home_ = layerfs_.dir().make("home");
    ASSERT_EQ(::chown(home_.c_str(), 1000, 1000), 0);
    write_layout(layerfs_.dir() / "layout", "image:1", {{make_tar({tar_file("f", "x")})}});
  }

  // A script in which $layerfs is the program and $home a directory of the user 1000.
  Ran as_root(const std::string& script) const {
    return shell(script, {.directory = layerfs_.dir().path(), .environment = environment()});
  }
  Ran as_alice(const std::string& script) const {
    return run(
        {"setpriv", "--reuid", "1000", "--regid", "1000", "--clear-groups", "sh", "-ec", script},
        {.directory = home_, .environment = environment()});
  }

  std::vector<std::string> environment() const {
    return {"layerfs=" + layerfs_program(), "home=" + home_.string(), "HOME=" + home_.string(),
            "LAYERFS_ROOT=" + (home_ / "store").string(), "XDG_RUNTIME_DIR=" + home_.string()};
  }

  Layerfs layerfs_;
  fs::path home_;
};

TEST_F(OthersCommands, RootRefusesAUsersStoreAndTheUserUsesIt) {
  ASSERT_EQ(as_alice("$layerfs import ../layout").err, "");
  for (const char* command :
       {"images", "rmi image:1", "gc", "mount image:1 point", "run image:1"}) {
    const Ran ran = as_root("mkdir -p point; $layerfs " + std::string(command));
    EXPECT_FALSE(ran.ok()) << command;
    EXPECT_THAT(ran.err, HasSubstr("belongs to user 1000")) << command;
  }
  EXPECT_THAT(as_alice("$layerfs images").out, HasSubstr("image:1"));
}

// Ids are the namespace's, and / and /home are nobody's there.
TEST_F(OthersCommands, AUsersStoreIsUsedInAUserNamespace) {
  ASSERT_EQ(as_alice("$layerfs import ../layout").err, "");
  for (const char* enter : {"unshare -U -r", "unshare -U -c"}) {
    const Ran ran = as_alice(std::string(enter) + " $layerfs images");
    EXPECT_EQ(ran.err, "") << enter;
    EXPECT_THAT(ran.out, HasSubstr("image:1")) << enter;
  }
  // Root's there is another's still.
  ASSERT_TRUE(as_root("chown -R 1001 $LAYERFS_ROOT").ok());
  EXPECT_THAT(as_alice("unshare -U -r $layerfs images").err, HasSubstr("belongs to user"));
}

// Root's environment may name a user's directory, after su or sudo -E.
TEST_F(OthersCommands, RecordsOfMountsAreNotSoughtInAUsersDirectory) {
  const std::string without_run =
      "unshare -m sh -ec 'mount --bind /run /run; "
      "mount -o remount,bind,ro /run; exec $layerfs ps --json'";
  ASSERT_TRUE(as_root("mkdir -p roots; echo kept >roots/settings.json").ok());
  ASSERT_EQ(as_alice("ln -s ../roots layerfs").err, "");
  EXPECT_EQ(as_root(without_run).err, "");
  EXPECT_EQ(read_file(layerfs_.dir() / "roots/settings.json"), "kept\n");
  ASSERT_EQ(as_alice("rm layerfs; mkdir layerfs; echo kept >layerfs/own.json").err, "");
  EXPECT_EQ(as_root(without_run).err, "");
  EXPECT_EQ(read_file(home_ / "layerfs/own.json"), "kept\n");
}

TEST_F(OthersCommands, ABundleIsNotMadeInAUsersDirectory) {
  ASSERT_TRUE(layerfs_({"import", layerfs_.dir() / "layout"}).ok());
  ASSERT_EQ(as_alice("mkdir bundle").err, "");
  const Ran ran = layerfs_({"bundle", "image:1", home_ / "bundle", "--", "/bin/true"});
  EXPECT_FALSE(ran.ok());
  EXPECT_THAT(ran.err, HasSubstr("belongs to user 1000"));
  EXPECT_TRUE(fs::is_empty(home_ / "bundle"));
}

}  // namespace
}  // namespace layerfs::test
