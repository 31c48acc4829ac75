// What containers see: layers over layers, as containerd's own test suite asks for.
#include <sys/stat.h>

#include "tests/snapshotter/fixture.h"
#include "tests/support/command.h"

namespace layerfs::test {
namespace {

using ::testing::HasSubstr;

class Content : public SnapshotterTest {};

TEST_F(Content, IsThatOfTheLayersAndTheChange) {
  layer("one", "", "echo foo >foo; mkdir -p a/b/c");
  layer("two", "one", "echo bar >bar; echo bar >foo; rm -r a/b");
  EXPECT_EQ(shown("one", "cat foo; find a"), "foo\na\na/b\na/b/c\n");
  EXPECT_EQ(shown("two", "cat foo bar; find a"), "bar\nbar\na\n");
}

TEST_F(Content, MayStillBeMountedWhileItIsCommitted) {
  const auto prepared = snapshots().prepare("key", "", {});
  const auto point = mount(*prepared);
  write_file(point / "file", "x");
  ASSERT_THAT(snapshots().commit("one", "key", {}), Granted());
  const auto next = snapshots().prepare("next", "one", {});
  const auto over = mount(*next);
  write_file(over / "file", "y");
  ASSERT_THAT(snapshots().commit("two", "next", {}), Granted());
  unmount(over);
  unmount(point);
  EXPECT_EQ(shown("two", "cat file"), "y");
  EXPECT_EQ(shown("one", "cat file"), "x");
}

TEST_F(Content, OfAFileIsReplacedByUpperLayers) {
  layer("one", "", "mkdir -m 700 etc; echo 10.0.0.1 >etc/hosts; echo PATH >etc/profile");
  layer("two", "one",
        "echo 10.0.0.2 >etc/hosts; chmod 666 etc/profile; mkdir -m 700 root; echo x >root/.bashrc");
  EXPECT_EQ(shown("two", "cat etc/hosts root/.bashrc; stat -c %a etc/profile etc root"),
            "10.0.0.2\nx\n666\n700\n700\n");
}

TEST_F(Content, OfADirectoryThatWasRemovedDoesNotComeBack) {
  layer("one", "", "mkdir lib; touch lib/hidden");
  layer("two", "one", "rm -r lib; mkdir lib; touch lib/not-hidden");
  layer("three", "two", "touch lib/newfile");
  EXPECT_EQ(shown("three", "ls lib"), "newfile\nnot-hidden\n");
}

TEST_F(Content, KeepsOwnersOverLayers) {
  layer("one", "", "mkdir -p opt/a/b; echo hello >opt/a/b/file");
  layer("two", "one", "chown 1:1 opt opt/a opt/a/b opt/a/b/file");
  EXPECT_EQ(shown("two", "stat -c %u:%g opt opt/a opt/a/b opt/a/b/file"), "1:1\n1:1\n1:1\n1:1\n");
  EXPECT_EQ(shown("one", "stat -c %u:%g opt/a/b/file"), "0:0\n");
}

TEST_F(Content, KeepsAttributesOfDirectoriesOverCommits) {
  layer("one", "", "mkdir -m 700 d1 d2 d3 d4 d5; touch d4/f1 d5/f1; chown 1:1 d1 d2 d3 d5 d5/f1");
  layer("two", "one", "chown 0:0 d2; rmdir d3; chown 1:1 d4 d4/f1");
  layer("three", "two", "mkdir -m 700 d3; chown 1:1 d3; rm -r d5; mkdir -m 700 d5; chown 1:1 d5");
  EXPECT_EQ(shown("three", "stat -c '%n %u %a' d1 d2 d3 d4 d4/f1 d5; ls d5"),
            "d1 1 700\nd2 0 700\nd3 1 700\nd4 1 700\nd4/f1 1 644\nd5 1 700\n");
}

TEST_F(Content, KeepsNamesThatWouldBeWhiteoutsOfAufs) {
  layer("one", "", "mkdir -m 1777 sticky dir; echo root >sticky/file; echo root >dir/kept");
  layer("two", "one",
        "setpriv --reuid 1000 --regid 1000 --clear-groups touch sticky/.wh.file dir/.wh..wh..opq");
  EXPECT_EQ(shown("two", "find . -mindepth 1 | sort; cat sticky/file dir/kept"),
            "./dir\n./dir/.wh..wh..opq\n./dir/kept\n./sticky\n./sticky/.wh.file\n./sticky/file\n"
            "root\nroot\n");
}

TEST_F(Content, LosesFilesThatAChildDeletes) {
  layer("one", "", "touch foo foobar");
  layer("two", "one", "rm foobar");
  layer("three", "two", "true");
  EXPECT_EQ(shown("three", "ls"), "foo\n");
}

TEST_F(Content, MovesFromALowerLayer) {
  layer("one", "", "mkdir dir1 dir2; echo Hello >dir1/f1; echo ... >dir2/f2");
  layer("two", "one", "mv dir1 dir3; ln dir2/f2 dir3/f2; rm dir2/f2");
  EXPECT_EQ(shown("two", "find . -mindepth 1 | sort; cat dir3/f1 dir3/f2"),
            "./dir2\n./dir3\n./dir3/f1\n./dir3/f2\nHello\n...\n");
}

TEST_F(Content, IsRenamedOverLowerNames) {
  layer("one", "", "mkdir dir1 somefiles; echo first >somefiles/f1; echo nothing >somefiles/f2");
  layer("two", "one",
        "mv dir1 dir2; echo new >somefiles/o; mv somefiles/o somefiles/f1; "
        "mv somefiles/f2 somefiles/f3");
  EXPECT_EQ(shown("two", "find . -mindepth 1 | sort; cat somefiles/f1 somefiles/f3"),
            "./dir2\n./somefiles\n./somefiles/f1\n./somefiles/f3\nnew\nnothing\n");
}

TEST_F(Content, OfAViewIsNotWritten) {
  layer("one", "", "touch file");
  layer("two", "one", "true");
  for (const std::string parent : {"", "one", "two"}) {
    const std::string key = "view-" + parent;
    const auto viewed = snapshots().view(key, parent, {});
    ASSERT_THAT(viewed, Granted());
    const auto point = mount(*viewed);
    EXPECT_THAT(shell("touch new", {.directory = point}).err, HasSubstr("Read-only")) << parent;
    unmount(point);
    EXPECT_THAT(snapshots().remove(key), Granted());
  }
}

TEST_F(Content, GoesThroughAChainOf128Layers) {
  std::string parent;
  for (int i = 0; i < 128; ++i) {
    const std::string name = "layer-" + std::to_string(i);
    const std::string key = name + "-active";
    const auto prepared = snapshots().prepare(key, parent, {});
    ASSERT_THAT(prepared, Granted());
    // The upper is written as containerd's unpacker writes it.
    const std::string upper =
        root() / "containerd/snapshots" / listed("containerd/snapshots").at(0) / "fs";
    write_file(upper + "/top", std::to_string(i));
    write_file(upper + "/" + name, "");
    ASSERT_THAT(snapshots().commit(name, key, {}), Granted());
    parent = name;
  }
  EXPECT_EQ(shown(parent, "ls | wc -l; cat top"), "129\n127");
  const auto prepared = snapshots().prepare("container", parent, {});
  const auto point = mount(*prepared);
  ASSERT_TRUE(shell("rm layer-0; echo x >top", {.directory = point}).ok());
  unmount(point);
  ASSERT_THAT(snapshots().commit("result", "container", {}), Granted());
  EXPECT_EQ(shown("result", "ls | wc -l; cat top"), "128\nx\n");
}

TEST_F(Content, StartsWithTheRootAttributesOfTheLayerBelow) {
  layer("one", "", "chmod 711 .; chown 5:6 .; touch -d @1000000000 .");
  layer("two", "one", "true");
  EXPECT_EQ(shown("two", "stat -c '%a %u:%g %Y' ."), "711 5:6 1000000000\n");
}

TEST_F(Content, IsTheSameThroughMountsMadeHere) {
  options_.mount_here = true;
  restart();
  layer("one", "", "echo foo >foo; mkdir d; touch d/gone");
  layer("two", "one", "echo bar >bar; rm d/gone");
  EXPECT_EQ(shown("two", "cat foo bar; ls d"), "foo\nbar\n");
  const auto viewed = snapshots().view("view", "two", {});
  ASSERT_THAT(viewed, Granted());
  EXPECT_EQ(viewed->at(0).type, "bind");
  EXPECT_EQ(listed("containerd/mounts").size(), 1U);
  // It outlives the server, and is found again.
  restart();
  EXPECT_EQ(snapshots().mounts("view")->at(0).source, viewed->at(0).source);
  EXPECT_EQ(read_file(viewed->at(0).source + "/bar"), "bar\n");
  ASSERT_THAT(snapshots().remove("view"), Granted());
  EXPECT_THAT(listed("containerd/mounts"), testing::IsEmpty());
}

TEST_F(Content, OfAMountMadeHereIsThereAgainWhenItsDaemonWasKilled) {
  options_.mount_here = true;
  restart();
  layer("one", "", "echo foo >foo");
  const auto viewed = snapshots().view("view", "one", {});
  ASSERT_THAT(viewed, Granted());
  const std::string point = viewed->at(0).source;
  const Ran killed = shell("kill -9 $(pgrep -f 'layerfs mount .*" + point + "$')");
  ASSERT_TRUE(killed.ok()) << killed.err;
  ASSERT_THAT(snapshots().mounts("view"), Granted());
  EXPECT_EQ(read_file(point + "/foo"), "foo\n");
  ASSERT_THAT(snapshots().remove("view"), Granted());
}

}  // namespace
}  // namespace layerfs::test
