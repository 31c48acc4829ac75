// Idmapped mounts of a union: what is done through one has the results that it has through an
// idmapped mount of directories on the disk.
#include "tests/support/idmapped.h"

#include <sys/mount.h>

#include <string>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/mount/program_fixture.h"

namespace layerfs::test {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;

// What is found below the working directory, as everybody sees it there.
constexpr const char* kList = "find . -mindepth 1 -printf '%p %y %m %U %G %s %l\\n' | sort";

// Runs `script` as that user and group, with no other groups.
std::string as(int id, const std::string& script) {
  return fmt::format("setpriv --reuid {0} --regid {0} --clear-groups sh -ec '{1}' 2>&1\n", id,
                     script);
}

class Idmapped : public ProgramFixture {
 protected:
  Idmapped() {
    std::filesystem::permissions(dir_.path(), std::filesystem::perms(0755));  // for other users
    for (const char* name : {"layer", "disk", "mapped", "mapped-disk"}) dir_.make(name);
  }
  ~Idmapped() override {
    for (const char* name : {"mapped", "mapped-disk"}) ::umount2(path_of(name).c_str(), MNT_DETACH);
    layerfs({"umount", mnt_});
  }

  // The same files in a lower directory and in one on the disk, both mounted; then idmapped, so
  // that root is 100000 there.
  void make(const std::string& files, const std::string& options = "") {
    for (const char* name : {"layer", "disk"}) {
      ASSERT_TRUE(shell("umask 022\n" + files, {.directory = path_of(name)}).ok());
    }
    mount(fmt::format("lowerdir={0}/layer,upperdir={0}/upper,workdir={0}/work{1}",
                      dir_.path().string(), options));
    ASSERT_TRUE(idmapped_bind(mnt_, path_of("mapped"), "0 100000 65536")) << strerror(errno);
    ASSERT_TRUE(idmapped_bind(path_of("disk"), path_of("mapped-disk"), "0 100000 65536"));
  }

  std::string in(const std::string& where, const std::string& script) const {
    const Ran ran = shell("umask 022\n" + script, {.directory = path_of(where)});
    EXPECT_TRUE(ran.ok()) << where << ": " << script << ": " << ran.err;
    return ran.out;
  }

  // The script says the same and leaves the same behind, seen with the ids of the mount and
  // without.
  void expect_as_on_the_disk(const std::string& script) const {
    EXPECT_EQ(in("mapped", script), in("mapped-disk", script));
    EXPECT_EQ(in("mapped", kList), in("mapped-disk", kList));
    EXPECT_EQ(in("mnt", kList), in("disk", kList));
    EXPECT_THAT(in("mapped", kList), ContainsRegex(" 10[01]000 "));
  }
};

TEST_F(Idmapped, OwnersAreShownAsTheMountMapsThem) {
  make("echo x > roots; mkdir d; echo y > d/users; chown 1000:1001 d/users; ln -s roots l");
  EXPECT_EQ(in("mapped", "stat -c '%n %u %g' roots d d/users l"),
            "roots 100000 100000\nd 100000 100000\nd/users 101000 101001\nl 100000 100000\n");
  EXPECT_EQ(in("mnt", "stat -c '%n %u %g' roots d/users"), "roots 0 0\nd/users 1000 1001\n");
}

TEST_F(Idmapped, WhatIsMadeBelongsToWhoeverMadeItThere) {
  make("echo x > file; mkdir d; chown 1000:1001 d; mkdir shared; chmod 2777 shared");
  expect_as_on_the_disk(
      as(100000, "echo new > made; mkdir dir; ln -s made link; mkfifo pipe; ln made hard") +
      as(101000, "echo new > d/made; mkdir d/dir; echo x > shared/file; mkdir shared/dir"));
  EXPECT_EQ(in("upper", "stat -c '%u %g' made d/made"), "0 0\n1000 1000\n");
}

TEST_F(Idmapped, WhoIsMappedToNobodyMakesNothing) {
  make("mkdir open; chmod 777 open; echo x > open/file; chmod 666 open/file");
  expect_as_on_the_disk(as(5, "echo new > open/made || true; mkdir open/dir || true") +
                        as(5, "echo more >> open/file; cat open/file"));
}

TEST_F(Idmapped, ChangesAndCopyUpsKeepTheOwnersOfTheDisk) {
  make("for i in 1 2 3 4; do echo $i > f$i; done; mkdir d; echo x > d/in; chown -R 1000:1000 d");
  expect_as_on_the_disk(
      as(100000, "chmod 600 f1; echo more >> f3; mv f4 g; touch -d 2020-01-01 f1; ln f1 hard") +
      "chown 101000:101001 f2\n" +
      as(101000, "echo more >> d/in; chmod 640 d/in; mv d/in d/out; chgrp 101000 d/out"));
}

TEST_F(Idmapped, OthersChangeNothing) {
  make("echo x > file; mkdir d; echo x > d/in");
  expect_as_on_the_disk(as(101000, "chmod 600 file || true; echo more >> d/in || true") +
                        as(101000, "rm d/in || true; chown 101000 file || true; cat file") +
                        as(0, "cat file"));
}

// The protocol tells no ids with a write, an open or a change of owner.
TEST_F(Idmapped, SetuidAndSetgidGoAsOnTheDisk) {
  make(R"(for i in 1 2 3 4 5 6; do echo $i > f$i; chown 1000:1000 f$i; chmod 6777 f$i; done
          echo x > h; chown 1000:1001 h; chmod 2666 h)");
  expect_as_on_the_disk(as(101000, "echo more >> f1; chmod 4755 f2; chgrp 101000 f3") +
                        as(102000, "echo more >> f4; : > f5; truncate -s 1 f6; echo more >> h"));
}

// Without an idmapped mount the kernel tells no ids, either.
TEST_F(Idmapped, TheMountItselfKnowsWhoIsInAGroup) {
  make(R"(for i in 1 2 3 4; do echo $i > f$i; chown 1000:2000 f$i; chmod 2666 f$i; done)");
  const std::string script =
      "setpriv --reuid 1001 --regid 2000 --clear-groups sh -c 'echo more >> f1; : > f2'\n"
      "setpriv --reuid 1001 --regid 3000 --groups 2000 sh -c 'echo more >> f3'\n" +
      as(1001, "echo more >> f4");
  EXPECT_EQ(in("mnt", script), in("disk", script));
  EXPECT_EQ(in("mnt", kList), in("disk", kList));
  EXPECT_THAT(in("mnt", kList), HasSubstr("f1 f 2666 1000 2000"));
}

TEST_F(Idmapped, TrustedNamesAreListedForRootOfTheMachineOnly) {
  make(
      "echo x > file; setfattr -n trusted.t -v 1 file; setfattr -n user.u -v 1 file; chmod 666 "
      "file");
  const std::string list = "getfattr -m - file";
  EXPECT_THAT(in("mnt", list), HasSubstr("trusted.t"));
  for (const std::string& script :
       {as(1000, list), "unshare --user --map-root-user " + list,
        "setpriv --bounding-set -sys_admin --inh-caps -sys_admin sh -c \"" + list + "\""}) {
    EXPECT_THAT(in("mnt", script), HasSubstr("user.u"));
    EXPECT_EQ(in("mnt", script), in("disk", script));
    EXPECT_THAT(in("mnt", script), Not(HasSubstr("trusted.t"))) << script;
  }
}

TEST_F(Idmapped, AreTheSameThroughThePageCache) {
  make("echo x > file; mkdir d", ",passthrough=none");
  expect_as_on_the_disk(as(100000, "echo new > made; echo more >> file; mkdir d/dir; rm file"));
}

// The mapping of the daemon lies below the mount's.
TEST_F(Idmapped, TheDaemonsMappingComesFirst) {
  make("echo x > file; chown 1000:1000 file; mkdir open; chmod 777 open",
       ",uidmapping=0:10000:2000,gidmapping=0:10000:2000");
  EXPECT_EQ(in("mapped", "stat -c '%u %g' file"), "111000 111000\n");
  EXPECT_EQ(in("mapped", as(112000, "echo x > open/made") + "stat -c '%u %g' open/made"),
            "165534 165534\n");
  EXPECT_EQ(in("upper", "stat -c '%u %g' open/made"), "65534 65534\n");
  EXPECT_EQ(in("mapped", as(110000, "echo new > made") + "stat -c '%u %g' made"),
            "110000 110000\n");
  EXPECT_EQ(in("upper", "stat -c '%u %g' made"), "0 0\n");
}

}  // namespace
}  // namespace layerfs::test
