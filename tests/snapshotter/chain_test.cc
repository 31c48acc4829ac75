// One layer, one copy: what came through containerd and what `layerfs import` took in.
#include "tests/snapshotter/fixture.h"
#include "tests/support/command.h"

namespace layerfs::test {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;

constexpr const char* kBaseScript = "mkdir d; echo one >d/one; echo gone >d/gone";
constexpr const char* kTopScript = "mkdir -p d; echo two >d/two; rm d/gone";

class Chain : public SnapshotterTest {
 protected:
  void import() { import_layers("image:1", {{base_}, {top_}}); }

  // In a process of its own: a mount goes into the background.
  void mount_image(std::vector<std::string> args) {
    args.insert(args.begin(), {layerfs_program(), "mount", "--root", root()});
    const Ran ran = run(args);
    ASSERT_TRUE(ran.ok()) << ran.err;
  }

  // As containerd unpacks the same image; returns the topmost name.
  std::string unpack_image(const std::string& name_space) {
    const std::string base = unpack(name_space, {base_id_}, "", kBaseScript);
    return unpack(name_space, {base_id_, top_id_}, base, kTopScript);
  }

  Answer<std::vector<Mount>> prepare_reference(const std::string& parent,
                                               const std::string& chain) {
    return snapshots().prepare("ns/1/extract-1-x " + chain, parent,
                               {{snapshotter::kRefLabel, chain}});
  }

  // What containerd does next when it was told ALREADY_EXISTS.
  std::string find_reference(const std::string& parent, const std::string& chain) {
    std::vector<std::string> names;
    EXPECT_THAT(snapshots().list({"labels.\"containerd.io/snapshot.ref\"==" + chain +
                                  ",parent==\"" + parent + "\""},
                                 [&](const std::vector<Info>& infos) {
                                   for (const Info& info : infos) names.push_back(info.name);
                                   return true;
                                 }),
                Granted());
    EXPECT_THAT(names, SizeIs(1));
    return names.empty() ? "" : names[0];
  }

  void remove_image(std::string name) {
    while (!name.empty()) {
      const std::string parent = snapshots().stat(name)->parent;
      ASSERT_THAT(snapshots().remove(name), Granted());
      name = parent;
    }
  }

  const std::string base_ =
      make_tar({tar_dir("d"), tar_file("d/one", "one\n"), tar_file("d/gone", "gone\n")});
  const std::string top_ =
      make_tar({tar_dir("d"), tar_file("d/two", "two\n"), tar_whiteout("d", "gone")});
  const std::string base_id_ = "sha256:" + sha256_hex(base_);
  const std::string top_id_ = "sha256:" + sha256_hex(top_);
  const std::string top_chain_ = chain_id({base_id_, top_id_});
};

TEST_F(Chain, IsStoredUnderItsIdAndIndexed) {
  unpack_image("ns");
  EXPECT_THAT(listed("layers/sha256"), AllOf(SizeIs(2), Each(StartsWith("chain."))));
  for (const std::string& key : listed("layers/sha256")) {
    EXPECT_THAT(listed("layers/sha256/" + key), ElementsAre("fs", "index", "layer.json"));
  }
}

TEST_F(Chain, ThatContainerdUnpackedIsNotUnpackedByImport) {
  const std::string top = unpack_image("ns");
  const auto before = listed("layers/sha256");
  import();
  EXPECT_EQ(listed("layers/sha256"), before);
  EXPECT_THAT(layerfs({"inspect", "--json", "image:1"}), HasSubstr(top_id_));
  const auto point = dir_.make("image");
  mount_image({"--read-only", "image:1", point});
  EXPECT_EQ(shell("ls d", {.directory = point}).out, "one\ntwo\n");
  ASSERT_TRUE(run({layerfs_program(), "umount", point}).ok());
}

TEST_F(Chain, ThatWasImportedIsNotKeptTwiceByACommit) {
  import();
  const auto before = listed("layers/sha256");
  const std::string top = unpack_image("ns");
  EXPECT_EQ(listed("layers/sha256"), before);
  EXPECT_THAT(listed("containerd/snapshots"), IsEmpty());
  EXPECT_EQ(shown(top, "ls d"), "one\ntwo\n");
}

TEST_F(Chain, IsOneCopyForAllNamespaces) {
  const std::string first = unpack_image("one");
  const std::string second = unpack_image("two");
  EXPECT_NE(first, second);
  EXPECT_THAT(listed("layers/sha256"), SizeIs(2));
  remove_image(first);
  ASSERT_THAT(snapshots().cleanup(), Granted());
  EXPECT_EQ(shown(second, "ls d"), "one\ntwo\n");
  remove_image(second);
  expect_consistent();
  EXPECT_THAT(listed("layers/sha256"), IsEmpty());
}

TEST_F(Chain, InTheStoreNeedsNoUnpacking) {
  import();
  EXPECT_THAT(prepare_reference("", base_id_), Refused(Code::kAlreadyExists));
  const std::string base = find_reference("", base_id_);
  EXPECT_THAT(prepare_reference(base, top_chain_), Refused(Code::kAlreadyExists));
  const std::string top = find_reference(base, top_chain_);
  EXPECT_EQ(shown(top, "ls d"), "one\ntwo\n");
  EXPECT_EQ(snapshots().stat(top)->kind, Kind::kCommitted);
  EXPECT_GT(snapshots().usage(top)->size, 0);
  // And the same again, for another namespace.
  EXPECT_THAT(prepare_reference(base, top_chain_), Refused(Code::kAlreadyExists));
  EXPECT_EQ(find_reference(base, top_chain_), top);
  EXPECT_THAT(listed("layers/sha256"), SizeIs(2));
}

TEST_F(Chain, ShowsTheRootOfTheTopmostLayerThatHasOne) {
  const std::string base = make_tar({tar_dir(".", 0711), tar_file("one")});
  const std::string top = make_tar({tar_file("two")});
  import_layers("rooted:1", {{base}, {top}});
  const std::string base_id = "sha256:" + sha256_hex(base);
  const std::string chain = chain_id({base_id, "sha256:" + sha256_hex(top)});
  EXPECT_THAT(prepare_reference("", base_id), Refused(Code::kAlreadyExists));
  const std::string below = find_reference("", base_id);
  EXPECT_THAT(prepare_reference(below, chain), Refused(Code::kAlreadyExists));
  const std::string name = find_reference(below, chain);
  EXPECT_EQ(shown(name, "stat -c %a ."), "711\n");
  const auto prepared = snapshots().prepare("container", name, {});
  const auto point = mount(*prepared);
  EXPECT_EQ(shell("stat -c %a .", {.directory = point}).out, "711\n");
  unmount(point);
}

TEST_F(Chain, ThatAnotherNamespaceUnpackedNeedsNoUnpacking) {
  const std::string top = unpack_image("one");
  const std::string base = snapshots().stat(top)->parent;
  EXPECT_THAT(prepare_reference("", base_id_), Refused(Code::kAlreadyExists));
  EXPECT_EQ(find_reference("", base_id_), base);
  EXPECT_THAT(prepare_reference(base, top_chain_), Refused(Code::kAlreadyExists));
  EXPECT_EQ(find_reference(base, top_chain_), top);
}

TEST_F(Chain, ThatTheStoreDoesNotHaveIsPrepared) {
  EXPECT_THAT(prepare_reference("", base_id_), Granted());
  EXPECT_EQ(snapshots().stat("ns/1/extract-1-x " + base_id_)->kind, Kind::kActive);
}

TEST_F(Chain, IsNotTakenOverAnotherParent) {
  import();
  layer("other", "", "touch other");
  EXPECT_THAT(prepare_reference("other", top_chain_), Granted());
  EXPECT_THAT(snapshots().prepare("ns/2/extract-2-x " + top_chain_, "",
                                  {{snapshotter::kRefLabel, top_chain_}}),
              Granted());
  EXPECT_THAT(snapshots().prepare("ns/3/extract-3-x " + base_id_, "other",
                                  {{snapshotter::kRefLabel, base_id_}}),
              Granted());
}

TEST_F(Chain, IsNoNameThatAnybodyMayGive) {
  import();
  const auto before = listed("layers/sha256");
  layer(base_id_, "", "echo mine >file");
  EXPECT_EQ(shown(base_id_, "cat file"), "mine\n");
  EXPECT_THAT(listed("layers/sha256"), SizeIs(before.size() + 1));
  EXPECT_THAT(listed("layers/sha256"), Contains(StartsWith("snap.")));
  EXPECT_THAT(snapshots().stat(base_id_)->labels, IsEmpty());
}

TEST_F(Chain, IsNotBelievedAgainstTheDiffId) {
  const std::string name =
      unpack("ns", {base_id_}, "", kBaseScript, {{snapshotter::kDiffIdLabel, top_id_}});
  EXPECT_THAT(listed("layers/sha256"), ElementsAre(StartsWith("snap.")));
  const std::string good =
      unpack("ns", {base_id_}, "", kBaseScript, {{snapshotter::kDiffIdLabel, base_id_}});
  EXPECT_THAT(listed("layers/sha256"), Contains(StartsWith("chain.")));
}

TEST_F(Chain, OverALayerOfUnknownOriginIsUnknown) {
  layer("other", "", "touch other");
  unpack("ns", {base_id_, top_id_}, "other", "touch x");
  EXPECT_THAT(listed("layers/sha256"), Each(StartsWith("snap.")));
}

TEST_F(Chain, IsUnpackedWithoutFuseWhereThatIsRight) {
  const std::string base = unpack("ns", {base_id_}, "", kBaseScript);
  const std::string key = "ns/9/extract-9-x " + top_chain_;
  EXPECT_EQ(snapshots().prepare(key, base, {})->at(0).type, "overlay");
  layer("other", "", "touch other");
  EXPECT_THAT(snapshots().prepare(key + "2", "other", {})->at(0).type, StartsWith("fuse3."));
  EXPECT_THAT(snapshots().prepare("ns/9/container", base, {})->at(0).type, StartsWith("fuse3."));
  options_.direct_unpack = false;
  restart();
  EXPECT_THAT(snapshots().mounts(key)->at(0).type, StartsWith("fuse3."));
}

TEST_F(Chain, IsEqualHoweverItWasUnpacked) {
  const std::string direct = unpack_image("one");
  const std::string what = "find . -mindepth 1 -printf '%p %y %m %u %g %s\\n' | sort";
  const std::string expected = shown(direct, what);
  remove_image(direct);
  ASSERT_THAT(snapshots().cleanup(), Granted());
  options_.direct_unpack = false;
  restart();
  EXPECT_EQ(shown(unpack_image("two"), what), expected);
}

TEST_F(Chain, OutlivesItsImageAndGarbageCollectionWhileASnapshotNeedsIt) {
  import();
  const std::string top = unpack_image("ns");
  layerfs({"rmi", "image:1"});
  layerfs({"gc"});
  EXPECT_EQ(shown(top, "ls d"), "one\ntwo\n");
  stop();
  layerfs({"gc"});
  restart();
  EXPECT_EQ(shown(top, "ls d"), "one\ntwo\n");
  remove_image(top);
  ASSERT_THAT(snapshots().cleanup(), Granted());
  EXPECT_THAT(listed("layers/sha256"), IsEmpty());
}

TEST_F(Chain, OutlivesItsSnapshotsWhileAnImageNeedsIt) {
  const std::string top = unpack_image("ns");
  import();
  remove_image(top);
  ASSERT_THAT(snapshots().cleanup(), Granted());
  EXPECT_THAT(listed("layers/sha256"), SizeIs(2));
  const auto point = dir_.make("image");
  mount_image({"--read-only", "image:1", point});
  EXPECT_EQ(shell("ls d", {.directory = point}).out, "one\ntwo\n");
  ASSERT_TRUE(run({layerfs_program(), "umount", point}).ok());
}

TEST_F(Chain, OutlivesItsSnapshotWhileALayerfsSnapshotNeedsIt) {
  const std::string top = unpack_image("ns");
  import();
  const auto point = dir_.make("image");
  mount_image({"--snapshot", "mine", "image:1", point});
  layerfs({"rmi", "image:1"});
  remove_image(top);
  ASSERT_THAT(snapshots().cleanup(), Granted());
  EXPECT_EQ(shell("ls d", {.directory = point}).out, "one\ntwo\n");
  ASSERT_TRUE(run({layerfs_program(), "umount", point}).ok());
}

}  // namespace
}  // namespace layerfs::test
