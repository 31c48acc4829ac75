// Owners and modes that lie in an xattr beside the file.
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/mount/union_fixture.h"

namespace layerfs::test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// Layers as containers-storage makes them with force_mask: a user's, who may not chown.
const std::string kMake =
    "mkdir -p lower/dir plain/upper plain/work plain/mnt plain/lower;"
    "record() { setfattr -n $name.override_stat -v \"$1\" \"$2\"; };"
    "record 0:0:0755 lower; echo text > lower/file; record 33:44:04511:file lower/file;"
    "record 7:8:02770:dir lower/dir; echo e > lower/dir/deep; chmod 755 lower/dir/deep;"
    "record 9:9:00 lower/dir/deep; : > lower/null; record 0:6:0666:char-1-3 lower/null;"
    "ln -s file lower/link; ";
const std::string kLower = "name=user.containers;" + kMake;

class Records : public Union {
 protected:
  // `more` is said of the layers, before they are mounted.
  void mount_layers(layer::RecordKind kind = layer::RecordKind::kContainers,
                    const std::string& more = "") {
    stack_.record_owners = kind;
    mount(kLower + more);
  }
};

TEST_F(Records, OfALowerLayerAreShown) {
  mount_layers();
  EXPECT_EQ(out("mnt", "stat -c '%n %F %a %u:%g %t,%T' . * dir/deep"),
            ". directory 755 0:0 0,0\ndir directory 2770 7:8 0,0\n"
            "file regular file 4511 33:44 0,0\nlink symbolic link 777 0:0 0,0\n"
            "null character special file 666 0:6 1,3\ndir/deep regular file 0 9:9 0,0\n");
  EXPECT_EQ(out("mnt", "ls -ln file | cut -d ' ' -f 1,3,4"), "-r-s--x--x 33 44\n");
}

TEST_F(Records, BecomeOwnersWhereTheUpperHoldsThem) {
  // Only root can write these.
  mount("name=security.fuseoverlayfs;" + kMake);
  out("mnt", "touch -m file; chmod u+x dir/deep");
  EXPECT_EQ(out("upper", "stat -c '%a %u:%g' file dir dir/deep"),
            "4511 33:44\n2770 7:8\n100 9:9\n");
  EXPECT_THAT(out("upper", "getfattr -R -d -m override . || true"), Not(HasSubstr("override")));
}

TEST_F(Records, OfTheUpperAreWrittenAndReadAgain) {
  mount_layers();
  out("mnt",
      "echo n > new; chown 5:6 new; chmod 4750 new; mkdir made; chown 0:9 made; chmod 3777 made;"
      "touch file; chmod 600 dir/deep; mkfifo fifo; ln -s new sym; mv new newer; ln newer twice;"
      "setpriv --reuid 11 --regid 12 --clear-groups sh -c 'umask 027; echo x > made/theirs; mkdir "
      "made/sub'");
  const std::string look =
      "stat -c '%n %a %u:%g' newer twice made made/theirs made/sub file dir/deep";
  const std::string expected =
      "newer 4750 5:6\ntwice 4750 5:6\nmade 3777 0:9\nmade/theirs 640 11:9\nmade/sub 2750 11:9\n"
      "file 4511 33:44\ndir/deep 600 9:9\n";
  EXPECT_EQ(out("mnt", look), expected);
  EXPECT_EQ(
      out("upper", "stat -c '%u:%g' newer made made/theirs made/sub file dir dir/deep | uniq"),
      "0:0\n");
  EXPECT_THAT(out("upper", "getfattr -n user.containers.override_stat . newer made/theirs"),
              testing::AllOf(HasSubstr("\"5:6:04750\""), HasSubstr("\"11:9:0640\""),
                             HasSubstr("# file: .\nuser.containers")));
  mount_again();
  EXPECT_EQ(out("mnt", look), expected);
}

TEST_F(Records, FollowTheRulesOfChownAndWrite) {
  mount_layers();
  out("mnt", "echo a > f; chmod 6777 f; chown 5 f");
  EXPECT_EQ(out("mnt", "stat -c '%a %u:%g' f"), "777 5:0\n");
  out("mnt", "chmod 6777 f; setpriv --reuid 9 --regid 9 --clear-groups sh -c 'echo b >> f'");
  EXPECT_EQ(out("mnt", "stat -c '%a' f"), "777\n");
  out("mnt", "rm file; mkdir file; rmdir file; echo again > file; chown 3:4 file");
  EXPECT_EQ(out("mnt", "stat -c '%F %u:%g' file; cat file"), "regular file 3:4\nagain\n");
  EXPECT_NE(in("mnt", "setpriv --reuid 9 --regid 9 --clear-groups cat dir/deep").status, 0);
}

TEST_F(Records, HaveAclsInStepWithTheMode) {
  mount_layers();
  out("mnt", "umask 022; echo a > f; setfacl -m u:9:rw,m::rwx f");
  EXPECT_EQ(out("mnt", "stat -c %a f"), "674\n");
  out("mnt", "chmod 604 f");
  EXPECT_EQ(out("mnt", "stat -c %a f; getfacl -cn f"),
            "604\nuser::rw-\nuser:9:rw-\t#effective:---\ngroup::r--\t#effective:---\nmask::---\n"
            "other::r--\n\n");
}

TEST_F(Records, AreNoXattrsToUsers) {
  mount_layers();
  out("mnt", "setfattr -n user.mine -v 1 file");
  EXPECT_EQ(out("mnt", "getfattr -m - file dir null"), "# file: file\nuser.mine\n\n");
  EXPECT_THAT(in("mnt", "LC_ALL=C getfattr -n user.containers.override_stat file").err,
              HasSubstr("No such attribute"));
  // What a user stores under the name is no record.
  out("mnt", "setfattr -n user.containers.override_stat -v 0:0:07777 file");
  EXPECT_EQ(out("mnt", "stat -c '%a %u' file; getfattr -m override -d file"),
            "4511 33\n# file: file\nuser.containers.override_stat=\"0:0:07777\"\n\n");
}

TEST_F(Records, InSecurityAttributesAreOfSymlinksToo) {
  mount_layers(layer::RecordKind::kPrivileged);
  out("mnt", "chown -h 12:13 link; mkfifo fifo; chown 14 fifo");
  EXPECT_EQ(out("mnt", "stat -c '%F %u:%g' link fifo"), "symbolic link 12:13\nfifo 14:0\n");
  EXPECT_EQ(out("upper", "stat -c '%u:%g' link fifo"), "0:0\n0:0\n");
}

TEST_F(Records, ThatAreMalformedAreAnError) {
  mount_layers(layer::RecordKind::kContainers,
               "setfattr -n user.containers.override_stat -v nobody lower/file");
  EXPECT_THAT(in("mnt", "LC_ALL=C cat file").err, HasSubstr("Input/output error"));
  EXPECT_EQ(out("mnt", "cat dir/deep"), "e\n");
}

// A user with no other id: nothing can be chowned, and what is somebody else's is root's to use.
TEST_F(Records, ServeANamespaceWithOneId) {
  const std::string user = "setpriv --reuid 4242 --regid 4242 --clear-groups --inh-caps=-all ";
  const std::string inside =
      "cd $1; mkdir lower upper work mnt; " + kLower + layerfs_program() +
      " -o lowerdir=lower,upperdir=upper,workdir=work,xattr_permissions=2 mnt; cd mnt;"
      "umask 022; stat -c '%F %a %u:%g' file dir null; chmod 4755 file; echo n > dir/n; rm "
      "dir/deep;"
      "mkdir dir/deep; chown 0:0 dir/deep; ls -A dir/deep; stat -c '%a %u:%g' file dir/n; cd ..;"
      "umount mnt; getfattr -dm user.containers upper/file upper/dir/n";
  const Ran ran =
      run({"unshare", "--mount", "--propagation", "private", "sh", "-ec",
           "chmod 777 $1; mknod -m 666 $1/fuse c 10 229; mount --bind $1/fuse /dev/fuse;"
           "exec " +
               user + "unshare --user --map-root-user --mount sh -ec \"$2\" sh $1",
           "sh", dir_.path(), inside});
  EXPECT_TRUE(ran.ok()) << ran.err;
  EXPECT_EQ(
      ran.out,
      "regular file 4511 0:0\ndirectory 2770 0:0\ncharacter special file 666 0:0\n"
      "4755 0:0\n644 0:0\n# file: upper/file\nuser.containers.override_stat=\"33:44:04755\"\n\n"
      "# file: upper/dir/n\nuser.containers.override_stat=\"0:8:0644\"\n\n");
}

TEST_F(Records, AreReadByFuseOverlayfs) {
  mount_layers();
  const std::string look = "stat -c '%n %F %a %u:%g' . f made dir dir/deep file made/sub";
  out("mnt", "echo a > f; chown 5:6 f; chmod 640 f; mkdir -p made/sub; chown 7 made; chmod 3 file");
  const std::string expected = out("mnt", look);
  mount_.reset();
  const Ran ran = run({"unshare", "--mount", "--propagation", "private", "sh", "-ec",
                       "fuse-overlayfs -o lowerdir=lower,upperdir=upper,workdir=plain/work "
                       "plain/mnt; cd plain/mnt; " +
                           look},
                      {.directory = dir_.path()});
  EXPECT_EQ(ran.out, expected) << ran.err;
}

}  // namespace
}  // namespace layerfs::test
