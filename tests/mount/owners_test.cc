// Owners that are shown otherwise than they lie on the disk.
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/mount/union_fixture.h"

namespace layerfs::test {
namespace {

using ::testing::HasSubstr;

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

TEST_F(Owners, ThatCannotBeStoredAreRefused) {
  mount_with({by_1000(), by_1000()});
  EXPECT_THAT(in("mnt", "LC_ALL=C touch dir/new").err, HasSubstr("too large"));
  EXPECT_THAT(in("mnt", "LC_ALL=C chown 5 file").err, HasSubstr("Invalid argument"));
  EXPECT_EQ(out("mnt", "ls dir"), "");
}

TEST_F(Owners, SquashedAreOneAndDoNotChange) {
  mount_with({op::IdMap::squash(0), op::IdMap::squash(0)});
  EXPECT_EQ(out("mnt", "chown 5:6 file; echo n > new; stat -c '%u %g' file other new | uniq"),
            "0 0\n");
  EXPECT_EQ(out("upper", "stat -c '%u %g' file"), "33 34\n");
}

}  // namespace
}  // namespace layerfs::test
