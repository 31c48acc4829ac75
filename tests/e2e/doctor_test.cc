// What `layerfs doctor` says of this machine, and of the same machine with something taken away.
#include <filesystem>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/e2e/layerfs.h"
#include "tests/support/image.h"
#include "tests/support/tar.h"

namespace layerfs::test {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class Doctor : public ::testing::Test {
 protected:
  // `layerfs doctor --json` after `preparation`, in a mount namespace of its own.
  Ran examine(const std::string& preparation = "", const std::string& how = "") const {
    return run({"unshare", "--mount", "--propagation", "private", "/bin/sh", "-e", "-c",
                preparation + "\nexec " + how + " \"$0\" --root \"$1\" doctor --json",
                layerfs_program(), layerfs_.store()},
               {.directory = layerfs_.dir().path()});
  }
  // The sentences about a topic that have this verdict, a line each.
  static std::string said(const Ran& ran, const std::string& topic, const std::string& verdict) {
    std::string sentences;
    const json all = json::parse(ran.out);
    for (const json& finding : all.at("findings")) {
      if (finding.at("topic") != topic || finding.at("verdict") != verdict) continue;
      sentences += finding.at("sentence").get<std::string>() + "\n";
    }
    return sentences;
  }
  void import_something() const {
    write_layout(layerfs_.dir() / "layout", "image", {{make_tar({tar_file("file")})}});
    const Ran ran = layerfs_({"import", layerfs_.dir() / "layout"});
    ASSERT_TRUE(ran.ok()) << ran.err;
  }

  Layerfs layerfs_;
};

TEST_F(Doctor, FindsThatThisMachineWorks) {
  import_something();
  const Ran ran = examine();
  EXPECT_EQ(ran.status, 0) << ran.out << ran.err;
  EXPECT_EQ(json::parse(ran.out).at("works"), true);
  EXPECT_THAT(said(ran, "mount", "good"), HasSubstr("passthrough"));
  EXPECT_THAT(said(ran, "store", "good"), HasSubstr(layerfs_.store()));
}

TEST_F(Doctor, SpeaksToPeople) {
  const Ran ran = layerfs_({"doctor"});
  EXPECT_EQ(ran.status, 0) << ran.out << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("\ngood     mount: a mount that was tried works: "));
  EXPECT_THAT(ran.out, HasSubstr("\nlayerfs works here.\n"));
}

TEST_F(Doctor, LeavesNothing) {
  const TempDir tmp;
  EXPECT_EQ(examine("TMPDIR='" + tmp.path().string() + "'; export TMPDIR").status, 0);
  EXPECT_TRUE(std::filesystem::is_empty(tmp.path()));
  EXPECT_FALSE(std::filesystem::exists(layerfs_.store()));
}

TEST_F(Doctor, MissesTheDevice) {
  const Ran ran = examine("mount -t tmpfs none /dev; mknod -m 666 /dev/null c 1 3");
  EXPECT_EQ(ran.status, 1) << ran.out;
  EXPECT_EQ(json::parse(ran.out).at("works"), false);
  EXPECT_THAT(said(ran, "/dev/fuse", "missing"), HasSubstr("modprobe fuse"));
  EXPECT_THAT(said(ran, "mount", "missing"), HasSubstr("/dev/fuse"));
}

TEST_F(Doctor, SeesADeviceThatIsNoFuse) {
  const Ran ran = examine("mount --bind /dev/null /dev/fuse");
  EXPECT_EQ(ran.status, 1) << ran.out;
  EXPECT_THAT(said(ran, "mount", "missing"), Not(IsEmpty()));
}

TEST_F(Doctor, MissesProgramsThatNotEverybodyNeeds) {
  const Ran ran = examine("mkdir empty; mount --bind empty /usr/sbin");
  EXPECT_EQ(ran.status, 0) << ran.out << ran.err;
  EXPECT_THAT(said(ran, "runtimes", "advice"), HasSubstr("install the package runc"));
  EXPECT_THAT(said(ran, "helpers", "advice"), HasSubstr("mount.fuse3"));
}

TEST_F(Doctor, KnowsWhatAUserNamespaceCannot) {
  const Ran ran = examine("", "unshare --user --map-root-user --mount");
  EXPECT_EQ(ran.status, 0) << ran.out << ran.err;
  EXPECT_THAT(said(ran, "passthrough", "advice"), HasSubstr("root of the machine only"));
  EXPECT_THAT(said(ran, "users", "advice"), HasSubstr("this user namespace has one id"));
  EXPECT_THAT(said(ran, "helpers", "missing"), IsEmpty());
}

TEST_F(Doctor, KnowsThatTheRootOfAUserNamespaceNeedsNoFusermount) {
  const Ran ran = examine("touch no-program; mount --bind no-program /usr/bin/fusermount3",
                          "unshare --user --map-root-user --mount");
  EXPECT_EQ(ran.status, 0) << ran.out << ran.err;
  EXPECT_EQ(json::parse(ran.out).at("works"), true);
}

TEST_F(Doctor, SeesThatTheIndexOfAStoreIsBroken) {
  import_something();
  write_file(layerfs_.store() / "index.json", "no JSON");
  const Ran ran = examine();
  EXPECT_EQ(ran.status, 1);
  EXPECT_THAT(said(ran, "store", "missing"), HasSubstr("index.json' is broken"));
}

TEST_F(Doctor, SeesThatAnImageIsBroken) {
  import_something();
  ASSERT_TRUE(shell("rm -r '" + layerfs_.store().string() + "'/blobs/sha256/*").ok());
  const Ran ran = examine();
  EXPECT_EQ(ran.status, 0);
  EXPECT_THAT(said(ran, "store", "advice"), HasSubstr("the image 'image' is broken"));
}

TEST_F(Doctor, SeesThatADirectoryIsNoStore) {
  write_file(layerfs_.store() / "file", "");
  const Ran ran = examine();
  EXPECT_EQ(ran.status, 1);
  EXPECT_THAT(said(ran, "store", "missing"), HasSubstr("no store at"));
}

TEST_F(Doctor, SeesThatAStoreIsOfTheOtherKind) {
  import_something();
  ASSERT_TRUE(shell("sed -i 's/\"real\"/\"recorded\"/' '" + layerfs_.store().string() +
                    "'/layers/sha256/*/layer.json")
                  .ok());
  const Ran ran = examine();
  EXPECT_EQ(ran.status, 1);
  EXPECT_THAT(said(ran, "store", "missing"), HasSubstr("filled without root"));
}

TEST_F(Doctor, SeesThatAStoreCannotBeWritten) {
  import_something();
  const std::string store = layerfs_.store();
  const Ran ran = examine("mount --bind '" + store + "' '" + store +
                          "'; mount -o remount,bind,ro '" + store + "'");
  EXPECT_EQ(ran.status, 0) << ran.out;
  EXPECT_THAT(said(ran, "store", "advice"), HasSubstr("mounted read-only"));
}

}  // namespace
}  // namespace layerfs::test
