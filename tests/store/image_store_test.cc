// `layerfs image-store` beside other commands on the same store.
#include "layerstore/image_store.h"

#include <chrono>
#include <thread>

#include "tests/store/store_fixture.h"

namespace layerfs::test {
namespace {

namespace fs = std::filesystem;
using ::testing::Contains;

class ImageStore : public StoreTest {};

// Who imports or removes an image waits for index.lock.
TEST_F(ImageStore, ReadsNoBlobUnderTheLockOfTheIndex) {
  ASSERT_EQ(import_tar({tar_file("file", "content")}).status, 0);
  const auto store = store::Store::open(root());
  ASSERT_TRUE(store);
  auto lock = store->dir().lock_index();
  ASSERT_TRUE(lock);
  bool written = false;
  std::jthread writer([&] { written = store::write_image_store(*store).has_value(); });
  const fs::path records = root() / "image-store/overlay-layers";
  const auto described = [&] {
    std::error_code none;
    for (const auto& entry : fs::directory_iterator(records, none)) {
      if (entry.path().string().ends_with(".tar-split.gz")) return true;
    }
    return false;
  };
  for (int tries = 0; tries < 2000 && !described(); ++tries) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_TRUE(described());
  EXPECT_FALSE(fs::exists(records / "layers.json"));
  lock->reset();
  writer.join();
  EXPECT_TRUE(written);
  EXPECT_THAT(listed("image-store/overlay-layers"), Contains("layers.json"));
}

}  // namespace
}  // namespace layerfs::test
