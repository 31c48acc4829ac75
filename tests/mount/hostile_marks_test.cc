// Marks, records and ACLs that the owner of a layer's files writes, in mounts that root makes:
// under the kernel's overlayfs and under layerfs.
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/mount/either_union.h"

namespace layerfs::test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kAs1000 = "setpriv --reuid 1000 --regid 1000 --clear-groups ";
constexpr const char* kAs1001 = "setpriv --reuid 1001 --regid 1001 --clear-groups ";

class HostileMarks : public EitherUnion {
 protected:
  // A lower layer of root's, with a file that only root may read.
  std::filesystem::path make_secret() const {
    out(dir_.make("root"),
        "mkdir -m 700 private; echo secret >private/key; chmod 600 private/key; echo low >f;"
        "mkdir dir; echo x >dir/x");
    return dir_ / "root";
  }
  // Whatever leads to it by marks of that namespace, made by uid 1000 in `where`.
  void lead_to_secret(const std::filesystem::path& where, const std::string& space) const {
    const std::string set = "setfattr -n " + space + ".overlay.";
    const std::string script =
        "truncate -s 7 file; chmod 644 file; " + set + "metacopy -v '' file; " + set +
        "redirect -v /private/key file; mkdir led; " + set + "redirect -v /private led; " +
        "truncate -s 4 f; " + set + "metacopy -v '' f; chown -R 1000:1000 .";
    out(where, script);
  }
  void expect_nothing_leads(const std::string& options) const {
    for (const char* name : {"file", "led/key", "f"}) {
      const Ran ran = in("mnt", std::string("LC_ALL=C ") + kAs1000 + "cat " + name);
      EXPECT_NE(ran.status, 0) << options << ": " << name << ": " << ran.out;
      EXPECT_THAT(ran.err, HasSubstr("Operation not permitted")) << options;
    }
    EXPECT_EQ(in("mnt", "LC_ALL=C stat led").status, 1) << options;
  }
};

TEST_P(HostileMarks, OfTheUsersNamespaceInTheUpperLeadNowhere) {
  const auto root = make_secret();
  Layers layers = writable({root});
  layers.options = "userxattr";
  lead_to_secret(layers.upper, "user");
  mount(layers);
  expect_nothing_leads(layers.options);
}

TEST_P(HostileMarks, OfTheUsersNamespaceInALowerLayerLeadNowhere) {
  const auto root = make_secret();
  lead_to_secret(dir_.make("theirs"), "user");
  Layers layers = writable({dir_ / "theirs", root});
  layers.options = "userxattr";
  mount(layers);
  expect_nothing_leads(layers.options);
}

// Root of a namespace with many ids, as a container engine without privilege has it, mounts what
// another of its users wrote.
TEST_P(HostileMarks, OfAUserOfANamespaceLeadNowhere) {
  make_secret();
  lead_to_secret(dir_.make("theirs"), "user");
  out(dir_.path(), "mkdir -p mnt; mv root theirs mnt '" + disk_.string() + "'");
  out(disk_,
      "chown -R 101000:101000 theirs; chown -R 100000:100000 root upper work mnt;"
      "chown 100000:100000 .; chmod 755 . ..; mknod -m 666 fuse c 10 229");
  const std::string options = "userxattr,lowerdir=theirs:root,upperdir=upper,workdir=work";
  const std::string mounting = is_kernel() ? "mount -t overlay overlay -o " + options + " mnt"
                                           : layerfs_program() + " -o " + options + " mnt";
  const std::string inside =
      "cd $1; " + mounting + "; export LC_ALL=C; cd mnt; for name in file led/key f; do " +
      kAs1000 + "cat $name 2>&1 || true; done; " +
      "python3 -c 'import os; os.rename(\"dir\", \"moved\")' 2>&1 | grep -o cross-device;"
      "mv dir moved; cat moved/x; cd ..; umount mnt";
  // The child gets its ids from outside, since only there are they somebody's to give.
  const Ran ran = run(
      {"unshare", "--mount", "--propagation", "private", "sh", "-ec",
       "mount --bind $1/fuse /dev/fuse; mkfifo $1/go;"
       "unshare --user --keep-caps --mount sh -ec 'read go <$1/go; exec setpriv --reuid 0 --regid "
       "0 "
       "--clear-groups sh -ec \"$2\" sh $1' sh $1 \"$2\" & child=$!;"
       "while [ $(readlink /proc/$child/ns/user) = $(readlink /proc/self/ns/user) ]; do sleep 0.05;"
       "done; echo 0 100000 65536 >/proc/$child/uid_map; echo 0 100000 65536 >/proc/$child/gid_map;"
       "echo go >$1/go; wait $child",
       "sh", disk_, inside});
  EXPECT_EQ(ran.out,
            "cat: file: Operation not permitted\ncat: led/key: Operation not permitted\n"
            "cat: f: Operation not permitted\ncross-device\nx\n")
      << ran.err;
}

TEST_P(HostileMarks, AreNotFollowedWhereTheOptionsSayNo) {
  const auto root = make_secret();
  lead_to_secret(dir_.make("theirs"), "trusted");
  Layers layers = writable({dir_ / "theirs", root});
  layers.options = "redirect_dir=nofollow";
  mount(layers);
  expect_nothing_leads(layers.options);
}

TEST_P(HostileMarks, CannotBeAskedForWithUserxattr) {
  const auto root = make_secret();
  Layers layers = writable({root});
  for (const char* options : {"userxattr,redirect_dir=on", "redirect_dir=follow,userxattr",
                              "userxattr,metacopy=on", "redirect_dir=nofollow,metacopy=on"}) {
    layers.options = options;
    EXPECT_NE(try_mount(layers).status, 0) << options;
  }
}

TEST_P(HostileMarks, RenamesOfLowerDirectoriesWithUserxattrAreTheCallersToCopy) {
  Layers layers = writable({make_secret()});
  layers.options = "userxattr";
  mount(layers);
  EXPECT_THAT(in("mnt", "LC_ALL=C python3 -c 'import os; os.rename(\"dir\", \"moved\")'").err,
              HasSubstr("cross-device"));
  EXPECT_EQ(out("mnt", "mv dir moved; cat moved/x; chmod 600 f; cat f"), "x\nlow\n");
  EXPECT_EQ(out(layers.upper, "getfattr -R -d -m 'overlay.(redirect|metacopy)' ."), "");
}

TEST_P(HostileMarks, RecordsOfOwnersMakeNobodyRoot) {
  make_secret();
  const Layers layers = writable({dir_ / "root"});
  out(layers.upper, "chown 1000:1000 .");
  mount(layers);
  const std::string set = "setfattr -n user.containers.override_stat -v ";
  out("mnt", std::string(kAs1000) + "sh -ec 'cp /usr/bin/id suid; " + set + "0:0:04755 suid; " +
                 set + "1000:1000:0755 .; mknod null p; cp suid other; setfattr -n " +
                 "user.fuseoverlayfs.override_stat -v 0:0:04755 other'");
  remount(layers);
  EXPECT_EQ(out("mnt", "stat -c '%a %u' suid other"), "755 1000\n755 1000\n");
  EXPECT_EQ(out("mnt", std::string(kAs1001) + "./suid -u"), "1001\n");
  // To users they are xattrs like any other.
  EXPECT_EQ(out("mnt", "getfattr --only-values -n user.containers.override_stat suid"),
            "0:0:04755");
  out("mnt", "setfattr -x user.containers.override_stat suid");
  EXPECT_EQ(out("mnt", "getfattr -d suid"), "");
}

TEST_P(HostileMarks, RecordsInALowerLayerMakeNobodyRoot) {
  out(dir_.make("theirs"),
      "cp /usr/bin/id suid; setfattr -n user.containers.override_stat -v 0:0:04755 suid;"
      "setfattr -n user.containers.override_stat -v 0:0:0755 .; chown -R 1000:1000 .");
  mount(writable({dir_ / "theirs"}));
  EXPECT_EQ(out("mnt", "stat -c '%a %u' suid .; touch suid; stat -c '%a %u' suid"),
            "755 1000\n755 0\n755 1000\n");
}

TEST_P(HostileMarks, AnAclOfTheWorkDirectoryStaysThere) {
  const auto root = make_secret();
  out(root, "chmod 660 f; mkdir gone old; echo x >old/x");
  const Layers layers = writable({root});
  out(layers.work, "chmod 2777 .; setfacl -d -m u:1001:rwx,o::rwx .; setfacl -m u:1001:rwx .");
  mount(layers);
  out("mnt",
      "umask 077; echo more >>f; rmdir gone; mkdir gone; echo new >gone/new; rm dir/x;"
      "echo again >dir/x; chmod 700 old; ln -s t dir/link; rm -r old; mkdir old");
  for (const char* name : {"f", "gone/new", "dir/x"}) {
    EXPECT_NE(in("mnt", std::string(kAs1001) + "cat " + name).status, 0) << name;
  }
  EXPECT_EQ(out("mnt", "getfacl -csR . | sed 's/#.*//'"), "");
  EXPECT_EQ(out("mnt", "stat -c '%a %n' f gone gone/new dir dir/x old"),
            "660 f\n700 gone\n600 gone/new\n755 dir\n600 dir/x\n700 old\n");
}

TEST_P(HostileMarks, AnAclOfADirectoryOfTheUnionIsInherited) {
  const auto root = make_secret();
  const Layers layers = writable({root});
  mount(layers);
  out("mnt", "setfacl -d -m u:1001:rwx dir; echo y >dir/y; mkdir dir/sub");
  EXPECT_THAT(out("mnt", "getfacl -c dir/y"), HasSubstr("user:1001:rwx"));
  EXPECT_THAT(out("mnt", "getfacl -c dir/sub"), HasSubstr("default:user:1001:rwx"));
  EXPECT_THAT(out("mnt", "getfacl -c dir/x"), Not(HasSubstr("1001")));
}

INSTANTIATE_TEST_SUITE_P(Unions, HostileMarks, testing::Values("overlay", "layerfs"),
                         [](const auto& each) { return std::string(each.param); });

// What only layerfs has: records of owners, where root asks for them.
class HostileRecords : public HostileMarks {};

TEST_P(HostileRecords, ThatAreAskedForGiveNoSetuidAndNoDevices) {
  out(dir_.make("theirs"),
      "cp /usr/bin/id suid; setfattr -n user.containers.override_stat -v 0:0:04755 suid;"
      ": >null; setfattr -n user.containers.override_stat -v 0:0:0666:char-1-3 null;"
      "setfattr -n user.containers.override_stat -v 0:0:0755 .; chown -R 1000:1000 .");
  Layers layers = writable({dir_ / "theirs"});
  layers.options = "xattr_permissions=2,suid,dev";
  mount(layers);
  EXPECT_EQ(out("mnt", "stat -c '%a %u %F' suid null"),
            "4755 0 regular file\n666 0 character special file\n");
  EXPECT_EQ(out("mnt", std::string(kAs1001) + "./suid -u"), "1001\n");
  EXPECT_NE(in("mnt", ": >null").status, 0);
  const std::string flags = "findmnt -no OPTIONS -T mnt | tr , '\\n' | grep -x 'nosuid\\|nodev'";
  EXPECT_EQ(out(dir_.path(), flags), "nosuid\nnodev\n");
  for (const char* options : {"remount,ro", "remount,suid,dev"}) {
    out(dir_.path(), layerfs_program() + " mount -o " + options + " mnt");
    EXPECT_EQ(out(dir_.path(), flags), "nosuid\nnodev\n") << options;
  }
  EXPECT_EQ(out("mnt", std::string(kAs1001) + "./suid -u"), "1001\n");
}

TEST_P(HostileRecords, AreToldOfWhereTheyCountAndWhereNot) {
  out(dir_.make("theirs"), "setfattr -n user.containers.override_stat -v 0:0:0755 .");
  Layers layers = writable({dir_ / "theirs"});
  layers.options = "index=on";
  dir_.make("mnt");
  EXPECT_THAT(try_mount(layers).err, HasSubstr("xattr_permissions=2 asks for them"));
  unmount();
  layers.options = "xattr_permissions=2";
  const std::string said = try_mount(layers).err;
  EXPECT_THAT(said, HasSubstr("mnt is nosuid,nodev"));
  EXPECT_THAT(said, Not(HasSubstr("do not count")));
}

INSTANTIATE_TEST_SUITE_P(Unions, HostileRecords, testing::Values("layerfs"),
                         [](const auto& each) { return std::string(each.param); });

}  // namespace
}  // namespace layerfs::test
