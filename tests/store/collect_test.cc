// What `layerfs rmi` and `layerfs gc` remove, and what never.
#include "layerstore/collect.h"

#include "tests/store/store_fixture.h"

namespace layerfs::test {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

class Collect : public StoreTest {
 protected:
  void SetUp() override {
    const LayerSpec base{make_tar({tar_file("base", "x")}), LayerForm::kGzip};
    ASSERT_EQ(import_layers("one", {base, {make_tar({tar_file("1")})}}).status, 0);
    ASSERT_EQ(import_layers("two", {base, {make_tar({tar_file("2")})}}).status, 0);
  }
  store::Store store() const { return std::move(*store::Store::open(root())); }
};

TEST_F(Collect, KeepsWhatAnotherImageShares) {
  const CommandResult removed = layerfs({"rmi", "one"});
  EXPECT_THAT(removed.out, HasSubstr("removed 1 layer")) << removed.err;
  EXPECT_THAT(listed("layers/sha256"), SizeIs(2));
  EXPECT_EQ(trees("two").size(), 2U);
  EXPECT_EQ(layerfs({"rmi", "two"}).status, 0);
  expect_untouched();
}

TEST_F(Collect, RemovesANameAloneAndByDigestAll) {
  const std::string digest = store().find("one")->manifest.text();
  ASSERT_EQ(layerfs({"import", root(), "--select", "one", "--name", "again"}).err, "");
  EXPECT_EQ(layerfs({"rmi", "one"}).status, 0);
  EXPECT_EQ(trees("again").size(), 2U);
  ASSERT_EQ(layerfs({"import", root(), "--select", "again", "--name", "one"}).err, "");
  EXPECT_EQ(layerfs({"rmi", digest}).status, 0);
  EXPECT_EQ(layerfs({"inspect", "one"}).status, 1);
  EXPECT_EQ(layerfs({"inspect", "again"}).status, 1);
}

TEST_F(Collect, KeepsWhatASnapshotNeeds) {
  ASSERT_TRUE(store().create_snapshot(*store().find("one"), "s"));
  EXPECT_EQ(layerfs({"rmi", "one"}).status, 0);
  EXPECT_THAT(listed("layers/sha256"), SizeIs(3));
  EXPECT_EQ(store().open_snapshot("s")->layers.size(), 2U);
  ASSERT_TRUE(store().remove_snapshot("s"));
  EXPECT_THAT(layerfs({"gc"}).out, HasSubstr("removed 1 layer "));
  EXPECT_THAT(listed("layers/sha256"), SizeIs(2));
}

TEST_F(Collect, KeepsWhatAMountHasInUse) {
  {
    const auto leased = store().layers(*store().find("one"));
    ASSERT_TRUE(leased);
    EXPECT_EQ(layerfs({"rmi", "one"}).status, 0);
    EXPECT_THAT(listed("layers/sha256"), SizeIs(3));
  }
  EXPECT_EQ(layerfs({"gc"}).status, 0);
  EXPECT_THAT(listed("layers/sha256"), SizeIs(2));
}

TEST_F(Collect, WaitsForNoImportAndTouchesNothingMeanwhile) {
  const store::Store here = store();
  {
    const auto adding = here.dir().lock_for_adding();
    ASSERT_TRUE(adding);
    EXPECT_THAT(layerfs({"rmi", "one"}).err, HasSubstr("an import is under way"));
    EXPECT_THAT(listed("layers/sha256"), SizeIs(3));
  }
  EXPECT_EQ(layerfs({"gc"}).status, 0);
  EXPECT_THAT(listed("layers/sha256"), SizeIs(2));
}

TEST_F(Collect, RemovesNothingIfAnImageCannotBeRead) {
  const store::Image image = *store().find("one");
  std::filesystem::remove(root() / "blobs/sha256" / image.config_digest.hex());
  const CommandResult result = layerfs({"gc"});
  EXPECT_EQ(result.status, 1);
  EXPECT_THAT(result.err, HasSubstr("nothing has been collected"));
  EXPECT_THAT(listed("layers/sha256"), SizeIs(3));
  EXPECT_THAT(layerfs({"images"}).err, HasSubstr("the image 'one' is broken"));
  EXPECT_EQ(trees("two").size(), 2U);
}

TEST_F(Collect, RemovesOrphansOfKilledImports) {
  write_file(root() / "tmp/orphan/deep/file", "x");
  EXPECT_EQ(layerfs({"gc"}).status, 0);
  EXPECT_THAT(listed("tmp"), SizeIs(0));
}

TEST_F(Collect, RemovesTreesDeeperThanDescriptorsReach) {
  std::string path;
  std::vector<TarEntry> entries;
  for (int depth = 0; depth < 1500; ++depth) {
    path += depth ? "/d" : "d";
    entries.push_back(tar_dir(path));
  }
  ASSERT_EQ(import_layers("deep", {{make_tar(entries)}}).err, "");
  EXPECT_EQ(layerfs({"rmi", "deep"}).status, 0);
  EXPECT_THAT(listed("layers/sha256"), SizeIs(3));
  EXPECT_THAT(listed("tmp"), SizeIs(0));
}

}  // namespace
}  // namespace layerfs::test
