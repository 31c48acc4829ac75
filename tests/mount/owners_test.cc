// Owners that are shown otherwise than they lie on the disk.
#include <filesystem>
#include <fstream>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/mount/union_fixture.h"

namespace layerfs::test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class Owners : public Union {
 protected:
  void mount_with(const op::IdMaps& ids) {
    stack_.ids = ids;
    mount(
        "mkdir lower/dir; echo x > lower/file; echo y > lower/other;"
        "chown 33:34 lower/file; chown 70000:70000 lower/other;"
        "setfacl -m u:5:rw lower/file; chmod 777 lower upper lower/dir");
  }
  static op::IdMap by_1000() { return op::IdMap({{0, 1000, 65536}}); }

  // Makes one object of each kind, with names that end in its argument.
  Owners() {
    std::filesystem::permissions(dir_.path(), std::filesystem::perms(0755));  // for other users
    std::ofstream(dir_ / "make.py") << R"(import os, sys
os.umask(0)
end = sys.argv[1]
os.open("setuid" + end, os.O_CREAT | os.O_WRONLY, 0o6777)
unnamed = os.open(".", os.O_TMPFILE | os.O_RDWR, 0o6777)
print(os.fstat(unnamed).st_uid, oct(os.fstat(unnamed).st_mode & 0o7777))
os.mkdir("dir" + end)
os.symlink("target", "link" + end)
os.mkfifo("pipe" + end)
)";
  }
  // Runs the script of the test's directory as that user and group.
  std::string as(const std::string& id, const std::string& script) const {
    return "setpriv --clear-groups --regid " + id + " --reuid " + id + " /usr/bin/python3 " +
           (dir_.path() / script).string() + "\n";
  }
};

TEST_F(Owners, AreShownMappedAndOutsideTheMapAsTheOverflowId) {
  mount_with({by_1000(), by_1000()});
  EXPECT_EQ(out("mnt", "stat -c '%n %u %g' file other"), "file 1033 1034\nother 65534 65534\n");
  EXPECT_THAT(out("mnt", "getfacl -n file"), HasSubstr("user:1005:rw-"));
  EXPECT_EQ(out("mnt", "ls -n file dir | grep -c 1033"), "1\n");
}

TEST_F(Owners, OfNewFilesAreStoredUnmapped) {
  mount_with({by_1000(), by_1000()});
  out("mnt",
      "setpriv --reuid 1007 --regid 1008 --clear-groups sh -c 'echo n > dir/new; ln -s a "
      "dir/link; mkdir dir/sub; mkfifo dir/fifo'");
  EXPECT_EQ(out("mnt", "stat -c '%u %g' dir/new dir/link dir/sub dir/fifo | uniq"), "1007 1008\n");
  EXPECT_EQ(out("upper", "stat -c '%u %g' dir/new dir/link dir/sub dir/fifo | uniq"), "7 8\n");
}

TEST_F(Owners, AreChangedThroughTheMap) {
  mount_with({by_1000(), by_1000()});
  out("mnt", "chown 1001:1002 file; setfacl -m g:1009:r file");
  EXPECT_EQ(out("mnt", "stat -c '%u %g' file"), "1001 1002\n");
  EXPECT_EQ(out("upper", "stat -c '%u %g' file"), "1 2\n");
  EXPECT_THAT(out("upper", "getfacl -n file"), HasSubstr("group:9:r--"));
  EXPECT_EQ(out("lower", "stat -c '%u %g' file"), "33 34\n");
}

// As on an idmapped mount of the kernel's.
TEST_F(Owners, ThatCannotBeStoredAreRefused) {
  mount_with({by_1000(), by_1000()});
  EXPECT_THAT(in("mnt", "LC_ALL=C chown 5 file").err, HasSubstr("too large"));
  EXPECT_THAT(in("mnt", "LC_ALL=C chown :5 file").err, HasSubstr("too large"));
  EXPECT_THAT(in("mnt", "LC_ALL=C setfacl -m u:5:r other").err, HasSubstr("Invalid argument"));
  EXPECT_EQ(out("mnt", "stat -c '%u %g' file"), "1033 1034\n");
}

// containers-storage makes the root's mount points as the user who starts a container.
TEST_F(Owners, OfWhatTheMapDoesNotKnowAreNobodys) {
  const op::IdMap map({{0, 1, 1000}});
  stack_.ids = {map, map};
  mount("chmod 777 lower upper");
  for (const std::string id : {"0", "4000"})
    EXPECT_EQ(out("mnt", as(id, "make.py " + id)), "65534 0o777\n");
  EXPECT_EQ(out("upper", "stat -c '%u:%g' * | sort -u"), "65534:65534\n");
  EXPECT_EQ(out("mnt", "stat -c '%u:%g' * | sort -u"), "65534:65534\n");
  EXPECT_EQ(out("upper", "stat -c '%n %a' setuid*"), "setuid0 777\nsetuid4000 777\n");
  // Root may give them to somebody.
  EXPECT_EQ(out("mnt", "chown -h 1:1 setuid0 dir0 link0; stat -c %u setuid0 dir0 link0 | uniq"),
            "1\n");
  EXPECT_EQ(out("upper", "stat -c '%u' setuid0 dir0 link0 | uniq"), "0\n");
}

// A program of an unknown owner would lend its rights to whoever has the overflow id.
TEST_F(Owners, OutsideTheMapLendNothing) {
  const op::IdMap map({{0, 1, 1000}});
  stack_.ids = {map, map};
  mount(
      "cp /usr/bin/id lower/id; chown 70000:70000 lower/id; chmod 6755 lower/id;"
      "cp lower/id lower/known; chown 7:7 lower/known; chmod 6755 lower/known");
  const std::string who = "setpriv --reuid 5 --regid 5 --clear-groups ./";
  EXPECT_EQ(out("mnt", who + "id -u; " + who + "known -u"), "5\n8\n");
  EXPECT_EQ(out("mnt", "stat -c '%a' id known; chmod 6755 id; stat -c '%a' id"),
            "755\n6755\n755\n");
  EXPECT_EQ(out("upper", "stat -c '%a %u' id"), "755 70000\n");
}

// What an entry of an ACL gives to somebody unknown, it gives to nobody who has the overflow id.
TEST_F(Owners, OutsideTheMapGetNothingByAnAcl) {
  const op::IdMap map({{0, 1, 1000}});
  stack_.ids = {map, map};
  mount(
      "chmod 755 lower; echo x > lower/file; chmod 600 lower/file; setfacl -m u:70000:r,u:7:r "
      "lower/file");
  const std::string read = "setpriv --clear-groups --regid 3000 --reuid ";
  EXPECT_EQ(out("mnt", read + "8 cat file"), "x\n");
  EXPECT_FALSE(in("mnt", read + "65534 cat file").ok());
  EXPECT_THAT(out("mnt", "getfacl -n file"), Not(HasSubstr("65534:r--")));
}

// Whoever may create files where all belong to one user does not get a setuid program of that user.
TEST_F(Owners, SquashedLendNothingToWhoCreates) {
  mount_with({op::IdMap::squash(0), op::IdMap::squash(0)});
  out("mnt/dir", as("5", "make.py theirs") + as("0", "make.py own"));
  EXPECT_EQ(out("mnt", "stat -c '%a %u' dir/setuidtheirs dir/setuidown"), "777 0\n6777 0\n");
}

TEST_F(Owners, SquashedAreOneAndDoNotChange) {
  mount_with({op::IdMap::squash(0), op::IdMap::squash(0)});
  EXPECT_EQ(out("mnt", "chown 5:6 file; echo n > new; stat -c '%u %g' file other new | uniq"),
            "0 0\n");
  EXPECT_EQ(out("upper", "stat -c '%u %g' file"), "33 34\n");
}

}  // namespace
}  // namespace layerfs::test
