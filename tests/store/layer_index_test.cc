#include "layerstore/layer_index.h"

#include <fcntl.h>

#include "fs/layer/index.h"
#include "fs/sys/unique_fd.h"
#include "layerstore/tree_writer.h"
#include "tests/store/store_fixture.h"

namespace layerfs::test {
namespace {

class LayerIndex : public StoreTest {
 protected:
  void SetUp() override {
    ASSERT_EQ(import_layers("image:1", {{make_tar({tar_dir("a"), tar_file("a/base")})},
                                        {make_tar({tar_file("top")})}})
                  .err,
              "");
  }
  std::vector<store::Layer> layers() const {
    const auto store = store::Store::open(root());
    return std::move(*store->layers(*store->find("image:1")));
  }

  // That the layer has an index which holds `name` and can be used.
  static void expect_indexed(const store::Layer& layer, const std::string& name) {
    const auto index = layer::Index::open(AT_FDCWD, layer.index.c_str());
    ASSERT_TRUE(index) << index.error().sentence;
    const sys::UniqueFd tree(open(layer.path.c_str(), O_PATH));
    EXPECT_TRUE(
        (*index)->describes(tree.get(), store::TreeFormat::for_this_process().user_xattr).value());
    EXPECT_TRUE((*index)->find(layer::kIndexRoot, name).value());
    EXPECT_TRUE((*index)->verify());
  }
};

TEST_F(LayerIndex, IsThereAfterAnImport) {
  const auto imported = layers();
  ASSERT_EQ(imported.size(), 2u);
  expect_indexed(imported[0], "top");
  expect_indexed(imported[1], "a");
}

TEST_F(LayerIndex, ThatCanBeUsedStays) {
  const auto imported = layers();
  const ino_t before = status_of(imported[0].index).st_ino;
  ASSERT_TRUE(store::ensure_index(imported[0]));
  EXPECT_EQ(status_of(imported[0].index).st_ino, before);
}

TEST_F(LayerIndex, ThatIsMissingIsMadeAgain) {
  const auto imported = layers();
  std::filesystem::remove(imported[0].index);
  ASSERT_TRUE(store::ensure_index(imported[0]));
  expect_indexed(imported[0], "top");
}

TEST_F(LayerIndex, ThatIsBrokenIsMadeAgain) {
  const auto imported = layers();
  write_file(imported[0].index, std::string(4096, 'x'));
  ASSERT_TRUE(store::ensure_index(imported[0]));
  expect_indexed(imported[0], "top");
}

TEST_F(LayerIndex, ThatIsOfAnotherTreeIsMadeAgain) {
  const auto imported = layers();
  std::filesystem::copy_file(imported[1].index, imported[0].index,
                             std::filesystem::copy_options::overwrite_existing);
  ASSERT_TRUE(store::ensure_index(imported[0]));
  expect_indexed(imported[0], "top");
}

TEST_F(LayerIndex, ThatCannotBeWrittenIsASentence) {
  const auto sentences = store::index_layers({{AT_FDCWD, "nowhere"}}, 2);
  ASSERT_EQ(sentences.size(), 1u);
  EXPECT_THAT(sentences[0], testing::HasSubstr("nowhere"));
}

}  // namespace
}  // namespace layerfs::test
