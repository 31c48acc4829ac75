#include "layerstore/snapshot.h"

#include "tests/store/store_fixture.h"

namespace layerfs::test {
namespace {

using ::testing::HasSubstr;

class Snapshots : public StoreTest {
 protected:
  void SetUp() override {
    TarEntry base_root = tar_dir(".", 0711);
    ASSERT_EQ(import_layers("image:1", {{make_tar({base_root, tar_file("base")})},
                                        {make_tar({tar_file("top")})}})
                  .err,
              "");
  }
  store::Store store() const { return std::move(*store::Store::open(root())); }
  store::Image image() const { return *store().find("image:1"); }
};

TEST_F(Snapshots, HaveAnUpperAWorkAndTheLayersTopFirst) {
  const Outcome<store::Snapshot> made = store().create_snapshot(image(), "s");
  ASSERT_TRUE(made) << made.error().sentence;
  EXPECT_TRUE(std::filesystem::is_directory(made->upper));
  EXPECT_TRUE(std::filesystem::is_directory(made->work));
  ASSERT_EQ(made->layers.size(), 2U);
  EXPECT_TRUE(std::filesystem::exists(made->layers[0].path + "/top"));
  EXPECT_TRUE(std::filesystem::exists(made->layers[1].path + "/base"));
}

TEST_F(Snapshots, TakeTheRootsAttributesFromTheTopmostLayerThatHasThem) {
  const Outcome<store::Snapshot> made = store().create_snapshot(image(), "s");
  ASSERT_TRUE(made);
  EXPECT_EQ(status_of(made->upper).st_mode, S_IFDIR | 0711U);
  EXPECT_EQ(status_of(made->upper).st_mtime, 1'000'000'000);
}

TEST_F(Snapshots, AndTheirLayersTellWhichOneHasARoot) {
  const auto layers = store().layers(image());
  ASSERT_TRUE(layers);
  ASSERT_EQ(layers->size(), 2U);
  EXPECT_FALSE(layers->at(0).has_root);
  EXPECT_TRUE(layers->at(1).has_root);
}

TEST_F(Snapshots, AreThereAgain) {
  {
    const Outcome<store::Snapshot> made = store().create_snapshot(image(), "s");
    ASSERT_TRUE(made);
    write_file(made->upper + "/written", "x");
  }
  const Outcome<store::Snapshot> opened = store().open_snapshot("s");
  ASSERT_TRUE(opened) << opened.error().sentence;
  EXPECT_EQ(read_file(opened->upper + "/written"), "x");
  EXPECT_EQ(opened->manifest, image().manifest);
  EXPECT_EQ(opened->layers.size(), 2U);
}

TEST_F(Snapshots, BelongToOneAtATime) {
  const Outcome<store::Snapshot> made = store().create_snapshot(image(), "s");
  ASSERT_TRUE(made);
  EXPECT_EQ(store().open_snapshot("s").error().sentence, "the snapshot 's' is in use");
  EXPECT_FALSE(store().remove_snapshot("s"));
  EXPECT_THAT(store().create_snapshot(image(), "s").error().sentence, HasSubstr("already"));
  EXPECT_TRUE(store().snapshots()->at(0).in_use);
  EXPECT_THAT(layerfs({"snapshots"}).out, HasSubstr("in use"));
}

TEST_F(Snapshots, GetANameIfTheyHaveNone) {
  const Outcome<store::Snapshot> made = store().create_snapshot(image(), "");
  ASSERT_TRUE(made);
  EXPECT_THAT(made->name, testing::MatchesRegex("image-[0-9a-f]+"));
}

TEST_F(Snapshots, HaveNamesThatLeadNowhere) {
  for (const char* name : {"..", "../x", "a/b", ".x", "-x", "a b"}) {
    EXPECT_FALSE(store().create_snapshot(image(), name)) << name;
    EXPECT_FALSE(store().open_snapshot(name)) << name;
    EXPECT_FALSE(store().remove_snapshot(name)) << name;
  }
}

TEST_F(Snapshots, AreListedAndRemovedByCommand) {
  ASSERT_TRUE(store().create_snapshot(image(), "b"));
  ASSERT_TRUE(store().create_snapshot(image(), "a"));
  EXPECT_THAT(layerfs({"snapshots", "--json"}).out, HasSubstr("\"inUse\": false"));
  EXPECT_EQ(layerfs({"snapshots", "--rm", "a", "--rm", "b"}).status, 0);
  EXPECT_EQ(listed("snapshots"), std::vector<std::string>());
  EXPECT_EQ(listed("tmp"), std::vector<std::string>());
  EXPECT_THAT(layerfs({"snapshots", "--rm", "a"}).err, HasSubstr("no snapshot 'a'"));
}

}  // namespace
}  // namespace layerfs::test
