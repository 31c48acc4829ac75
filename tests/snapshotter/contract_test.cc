// What containerd asks of any snapshotter: kinds, parents, names, labels.
#include <atomic>
#include <thread>

#include "tests/snapshotter/fixture.h"
#include "tests/support/command.h"

namespace layerfs::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

class Contract : public SnapshotterTest {
 protected:
  std::vector<std::string> names(const std::vector<std::string>& filters = {}) {
    std::vector<std::string> found;
    EXPECT_THAT(snapshots().list(filters,
                                 [&](const std::vector<Info>& infos) {
                                   for (const Info& info : infos) found.push_back(info.name);
                                   return true;
                                 }),
                Granted());
    return found;
  }

  // c1 <- c2, committed; over c2 a1 (active) and v1 (view); without a parent a2 and v2.
  void make_family() {
    layer("c1", "", "touch one");
    layer("c2", "c1", "touch two");
    ASSERT_THAT(snapshots().prepare("a1", "c2", {}), Granted());
    ASSERT_THAT(snapshots().prepare("a2", "", {}), Granted());
    ASSERT_THAT(snapshots().view("v1", "c2", {}), Granted());
    ASSERT_THAT(snapshots().view("v2", "", {}), Granted());
  }
};

TEST_F(Contract, WhatIsPreparedIsActive) {
  ASSERT_THAT(snapshots().prepare("key", "", {{"a", "b"}}), Granted());
  const auto info = snapshots().stat("key");
  ASSERT_THAT(info, Granted());
  EXPECT_EQ(info->kind, Kind::kActive);
  EXPECT_EQ(info->name, "key");
  EXPECT_EQ(info->parent, "");
  EXPECT_EQ(info->labels, (Labels{{"a", "b"}}));
  EXPECT_EQ(info->created, info->updated);
}

TEST_F(Contract, ACommitTakesTheNameAndTheKeyIsGone) {
  ASSERT_THAT(snapshots().prepare("key", "", {{"old", "x"}}), Granted());
  ASSERT_THAT(snapshots().commit("name", "key", {{"new", "y"}}), Granted());
  EXPECT_THAT(snapshots().stat("key"), Refused(Code::kNotFound));
  const auto info = snapshots().stat("name");
  ASSERT_THAT(info, Granted());
  EXPECT_EQ(info->kind, Kind::kCommitted);
  EXPECT_EQ(info->labels, (Labels{{"new", "y"}}));  // those of the key are not inherited
}

TEST_F(Contract, ParentsAreTransitive) {
  layer("a", "", "echo foo >foo");
  layer("b", "a", "echo bar >>foo");
  EXPECT_EQ(snapshots().stat("b")->parent, "a");
  EXPECT_EQ(snapshots().stat("a")->parent, "");
}

TEST_F(Contract, AKeyIsTakenOnce) {
  layer("base", "", "true");
  ASSERT_THAT(snapshots().prepare("key", "base", {}), Granted());
  EXPECT_THAT(snapshots().prepare("key", "base", {}), Refused(Code::kAlreadyExists));
  EXPECT_THAT(snapshots().view("key", "base", {}), Refused(Code::kAlreadyExists));
  ASSERT_THAT(snapshots().view("view", "base", {}), Granted());
  EXPECT_THAT(snapshots().view("view", "base", {}), Refused(Code::kAlreadyExists));
  EXPECT_EQ(listed("containerd/snapshots").size(), 1U);  // that of "key"
}

TEST_F(Contract, ANameIsTakenOnce) {
  layer("base", "", "true");
  ASSERT_THAT(snapshots().prepare("key", "", {}), Granted());
  EXPECT_THAT(snapshots().commit("base", "key", {}), Refused(Code::kAlreadyExists));
  EXPECT_THAT(snapshots().commit("key", "key", {}), Refused(Code::kAlreadyExists));
  EXPECT_EQ(snapshots().stat("key")->kind, Kind::kActive);
}

TEST_F(Contract, AParentMustBeThereAndCommitted) {
  ASSERT_THAT(snapshots().prepare("active", "", {}), Granted());
  EXPECT_THAT(snapshots().prepare("key", "nobody", {}), Refused(Code::kNotFound));
  EXPECT_THAT(snapshots().prepare("key", "active", {}), Refused(Code::kInvalidArgument));
  EXPECT_THAT(snapshots().view("key", "active", {}), Refused(Code::kInvalidArgument));
  EXPECT_THAT(snapshots().stat("key"), Refused(Code::kNotFound));
}

TEST_F(Contract, OnlyActiveSnapshotsAreCommitted) {
  layer("base", "", "true");
  ASSERT_THAT(snapshots().view("view", "base", {}), Granted());
  EXPECT_THAT(snapshots().commit("name", "view", {}), Refused(Code::kFailedPrecondition));
  EXPECT_THAT(snapshots().commit("name", "base", {}), Refused(Code::kFailedPrecondition));
  EXPECT_THAT(snapshots().commit("name", "nobody", {}), Refused(Code::kNotFound));
}

TEST_F(Contract, WhatIsNotThereIsNotFound) {
  EXPECT_THAT(snapshots().stat("x"), Refused(Code::kNotFound));
  EXPECT_THAT(snapshots().mounts("x"), Refused(Code::kNotFound));
  EXPECT_THAT(snapshots().remove("x"), Refused(Code::kNotFound));
  EXPECT_THAT(snapshots().usage("x"), Refused(Code::kNotFound));
  Info info;
  info.name = "x";
  EXPECT_THAT(snapshots().update(info, {}), Refused(Code::kNotFound));
}

TEST_F(Contract, MountsAreThoseOfPrepare) {
  make_family();
  for (const std::string key : {"a1", "a2", "v1", "v2"}) {
    const auto mounts = snapshots().mounts(key);
    ASSERT_THAT(mounts, Granted()) << key;
    EXPECT_EQ(mounts->size(), 1U);
  }
  EXPECT_EQ(snapshots().mounts("a1")->at(0).type, "fuse3." + layerfs_program());
  EXPECT_EQ(snapshots().mounts("a2")->at(0).type, "bind");
  EXPECT_THAT(snapshots().mounts("v1")->at(0).options, testing::Contains("ro"));
  EXPECT_THAT(snapshots().mounts("v2")->at(0).options, ElementsAre("ro", "rbind"));
  EXPECT_THAT(snapshots().mounts("c2"), Refused(Code::kFailedPrecondition));
}

TEST_F(Contract, AParentIsNotRemoved) {
  make_family();
  EXPECT_THAT(snapshots().remove("c1"), Refused(Code::kFailedPrecondition));
  EXPECT_THAT(snapshots().remove("c2"), Refused(Code::kFailedPrecondition));
  for (const std::string key : {"a1", "v1", "c2", "c1", "a2", "v2"}) {
    EXPECT_THAT(snapshots().remove(key), Granted()) << key;
  }
  EXPECT_THAT(names(), IsEmpty());
}

TEST_F(Contract, AKeyIsFreeAgainAfterItsRemoval) {
  layer("committed", "", "true");
  ASSERT_THAT(snapshots().prepare("key", "committed", {}), Granted());
  ASSERT_THAT(snapshots().remove("key"), Granted());
  ASSERT_THAT(snapshots().view("key", "committed", {}), Granted());
  ASSERT_THAT(snapshots().remove("key"), Granted());
  ASSERT_THAT(snapshots().prepare("key", "", {}), Granted());
  ASSERT_THAT(snapshots().remove("committed"), Granted());
  EXPECT_THAT(snapshots().commit("committed", "key", {}), Granted());
}

TEST_F(Contract, NothingIsLeftOfWhatIsRemoved) {
  make_family();
  for (const std::string key : {"a1", "v1", "c2", "c1", "a2", "v2"}) {
    ASSERT_THAT(snapshots().remove(key), Granted());
  }
  ASSERT_THAT(snapshots().cleanup(), Granted());
  for (const char* name :
       {"containerd/snapshots", "containerd/mounts", "layers/sha256", "tmp", "pins/containerd"}) {
    EXPECT_THAT(listed(name), IsEmpty()) << name;
  }
}

TEST_F(Contract, LabelsAreUpdatedAsTheMaskSays) {
  make_family();
  for (const std::string name : {"c1", "c2", "a1", "a2", "v1", "v2"}) {
    const Info before = *snapshots().stat(name);
    Info wanted = before;
    wanted.parent = "nobody";
    wanted.labels = {{"l1", "v1"}, {"l2", "v2"}, {"l3", "v3"}};
    auto after = snapshots().update(wanted, {});
    ASSERT_THAT(after, Granted());
    EXPECT_EQ(after->labels, wanted.labels);
    EXPECT_EQ(after->parent, before.parent);
    EXPECT_EQ(after->kind, before.kind);
    EXPECT_EQ(after->created, before.created);
    EXPECT_GT(after->updated, before.updated);

    wanted.labels = {{"l1", "updated"}, {"l4", "v4"}};
    after = snapshots().update(wanted, {"labels.l1", "labels.l2"});
    ASSERT_THAT(after, Granted());
    EXPECT_EQ(after->labels, (Labels{{"l1", "updated"}, {"l3", "v3"}}));

    wanted.labels = {{"l4", "v4"}};
    after = snapshots().update(wanted, {"labels"});
    ASSERT_THAT(after, Granted());
    EXPECT_EQ(after->labels, wanted.labels);
    EXPECT_EQ(snapshots().stat(name)->labels, wanted.labels);

    EXPECT_THAT(snapshots().update(wanted, {"labels.l4", "parent"}),
                Refused(Code::kInvalidArgument));
    EXPECT_EQ(snapshots().stat(name)->labels, wanted.labels);
  }
}

TEST_F(Contract, AWalkShowsEachSnapshotAsStatDoes) {
  make_family();
  std::vector<std::string> seen;
  ASSERT_THAT(snapshots().list({},
                               [&](const std::vector<Info>& infos) {
                                 for (const Info& info : infos) {
                                   seen.push_back(info.name);
                                   EXPECT_EQ(snapshots().stat(info.name).value(), info);
                                 }
                                 return true;
                               }),
              Granted());
  EXPECT_THAT(seen, UnorderedElementsAre("c1", "c2", "a1", "a2", "v1", "v2"));
}

TEST_F(Contract, AWalkAllowsRemovalsAndGoesOn) {
  for (int i = 0; i < 130; ++i) {
    ASSERT_THAT(snapshots().view("v" + std::to_string(i), "", {}), Granted());
  }
  int seen = 0;
  ASSERT_THAT(snapshots().list({},
                               [&](const std::vector<Info>& infos) {
                                 for (const Info& info : infos) {
                                   EXPECT_THAT(snapshots().remove(info.name), Granted());
                                   ++seen;
                                 }
                                 return true;
                               }),
              Granted());
  EXPECT_EQ(seen, 130);
  EXPECT_THAT(names(), IsEmpty());
}

TEST_F(Contract, AListIsFiltered) {
  make_family();
  EXPECT_THAT(names({"kind==active"}), UnorderedElementsAre("a1", "a2"));
  EXPECT_THAT(names({"parent==c2,kind==view"}), ElementsAre("v1"));
  EXPECT_THAT(names({"name==c1", "name==a2"}), UnorderedElementsAre("c1", "a2"));
  EXPECT_THAT(snapshots().list({"name=="}, [](const auto&) { return true; }),
              Refused(Code::kInvalidArgument));
}

TEST_F(Contract, UsageCountsWhatASnapshotAdds) {
  layer("base", "", "head -c 100000 /dev/zero | tr '\\0' x >file; ln file link; mkdir d");
  const auto base = snapshots().usage("base");
  ASSERT_THAT(base, Granted());
  EXPECT_EQ(base->inodes, 3);  // the root, the file by two names, d
  EXPECT_GE(base->size, 100'000);
  EXPECT_LT(base->size, 130'000);

  const auto prepared = snapshots().prepare("active", "base", {});
  EXPECT_EQ(snapshots().usage("active")->inodes, 1);
  const auto point = mount(*prepared);
  write_file(point / "d/more", "x");
  unmount(point);
  EXPECT_EQ(snapshots().usage("active")->inodes, 3);
  ASSERT_THAT(snapshots().view("view", "base", {}), Granted());
  EXPECT_EQ(*snapshots().usage("view"), Usage());
}

TEST_F(Contract, OddRequestsAreInvalid) {
  const std::string nul("a\0b", 3);
  EXPECT_THAT(snapshots().prepare("", "", {}), Refused(Code::kInvalidArgument));
  EXPECT_THAT(snapshots().prepare(nul, "", {}), Refused(Code::kInvalidArgument));
  EXPECT_THAT(snapshots().prepare(std::string(40'000, 'k'), "", {}),
              Refused(Code::kInvalidArgument));
  EXPECT_THAT(snapshots().prepare("k", "", {{"label", std::string(1'000'000, 'v')}}),
              Refused(Code::kInvalidArgument));
  EXPECT_THAT(snapshots().prepare("k", "", {{"", "v"}}), Refused(Code::kInvalidArgument));
  EXPECT_THAT(snapshots().prepare("k", "", {{nul, "v"}}), Refused(Code::kInvalidArgument));
  ASSERT_THAT(snapshots().prepare("k", "", {}), Granted());
  EXPECT_THAT(snapshots().commit("", "k", {}), Refused(Code::kInvalidArgument));
  EXPECT_THAT(snapshots().commit("n", "k", {{"l", std::string(5000, 'v')}}),
              Refused(Code::kInvalidArgument));
  EXPECT_THAT(snapshots().remove(""), Refused(Code::kInvalidArgument));
  EXPECT_THAT(names(), ElementsAre("k"));
}

TEST_F(Contract, LabelsMapOwnersOfTheMount) {
  layer("base", "", "touch file; chown 5:6 file; chmod 777 .");
  const Labels labels{{snapshotter::kUidMapLabel, "0:100000:1000,1000:300000:10"},
                      {snapshotter::kGidMapLabel, "0:200000:1000"}};
  const auto prepared = snapshots().prepare("key", "base", labels);
  ASSERT_THAT(prepared, Granted());
  const auto point = mount(*prepared);
  const Ran ran = shell(
      "stat -c %u:%g file; setpriv --reuid 300001 --regid 200007 --clear-groups touch new; "
      "stat -c %u:%g new",
      {.directory = point});
  EXPECT_EQ(ran.out, "100005:200006\n300001:200007\n") << ran.err;
  unmount(point);
  ASSERT_THAT(snapshots().commit("next", "key", {}), Granted());
  // On the disk, and for whoever asks for no mapping, they are the container's.
  EXPECT_EQ(shown("next", "stat -c %u:%g file new"), "5:6\n1001:7\n");
}

TEST_F(Contract, LabelsThatAreNoMappingAreInvalid) {
  layer("base", "", "true");
  for (const std::string map : {"", "0", "0:1", "0:1:0", "a:b:c", "0:1:2,", ",", "0:1:2:3",
                                "0:0:4294967296", "4294967290:0:10", "-1:0:1", "0:1:2,,0:1:2"}) {
    EXPECT_THAT(snapshots().prepare("key", "base", {{snapshotter::kUidMapLabel, map}}),
                Refused(Code::kInvalidArgument))
        << map;
  }
  EXPECT_THAT(snapshots().prepare("key", "", {{snapshotter::kUidMapLabel, "0:1:2"}}),
              Refused(Code::kInvalidArgument));
}

TEST_F(Contract, KeysAreNeverPaths) {
  for (const std::string key :
       {"../x", "/etc/passwd", "a/../../b", ".", "..", "a'; DROP TABLE x", "\xc3\xa4 \n", "%s%n"}) {
    layer("base" + key, "", "touch file");
    layer(key, "base" + key, "touch other");
    EXPECT_EQ(shown(key, "ls"), "file\nother\n") << key;
  }
  EXPECT_THAT(listed(""),
              UnorderedElementsAre("add.lock", "blobs", "containerd", "index.json", "index.lock",
                                   "layers", "oci-layout", "pins", "snapshots", "tmp"));
  for (const std::string& name : listed("containerd/snapshots")) {
    EXPECT_THAT(name, testing::MatchesRegex("[0-9a-f]{16}"));
  }
}

TEST_F(Contract, ParallelCallersEachGetOneAnswer) {
  layer("base", "", "touch file");
  std::atomic<int> prepared = 0, committed = 0, removed = 0;
  {
    std::vector<std::jthread> callers;
    for (int i = 0; i < 8; ++i) {
      callers.emplace_back([&] {
        for (int n = 0; n < 10; ++n) {
          const std::string key = "key-" + std::to_string(n);
          if (snapshots().prepare(key, "base", {})) ++prepared;
          if (snapshots().commit("name-" + std::to_string(n), key, {})) ++committed;
          if (snapshots().remove("name-" + std::to_string(n))) ++removed;
          if (snapshots().cleanup()) continue;
        }
      });
    }
  }
  EXPECT_EQ(prepared - committed, static_cast<int>(names({"kind==active"}).size()));
  EXPECT_EQ(committed - removed, static_cast<int>(names({"kind==committed"}).size()) - 1);
  EXPECT_EQ(listed("containerd/snapshots").size(), names({"kind==active"}).size());
  ASSERT_THAT(snapshots().cleanup(), Granted());
  EXPECT_EQ(listed("layers/sha256").size(), names({"kind==committed"}).size());
}

}  // namespace
}  // namespace layerfs::test
