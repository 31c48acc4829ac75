#include "layerstore/store_dir.h"

#include <latch>
#include <thread>

#include <gtest/gtest.h>

#include "tests/support/temp_dir.h"

namespace layerfs::store {
namespace {

TEST(StoreDir, IsMadeByManyAtOnce) {
  constexpr int kMakers = 8;
  for (int round = 0; round < 50; ++round) {
    const test::TempDir dir;
    std::latch start(kMakers);
    std::vector<std::string> refused(kMakers);
    {
      std::vector<std::jthread> makers;
      for (std::string& why : refused) {
        makers.emplace_back([&] {
          start.arrive_and_wait();
          const Outcome<StoreDir> made = StoreDir::create((dir.path() / "store").string());
          if (!made) why = made.error().sentence;
        });
      }
    }
    ASSERT_EQ(refused, std::vector<std::string>(kMakers)) << "round " << round;
  }
}

TEST(StoreDir, IsMadeWhereAMakerWasKilledBeforeItsFirstDirectory) {
  const test::TempDir dir;
  test::write_file(dir.path() / "index.lock", "");
  const Outcome<StoreDir> made = StoreDir::create(dir.path().string());
  EXPECT_TRUE(made) << made.error().sentence;
}

TEST(StoreDir, IsNotMadeAmongOtherFiles) {
  const test::TempDir dir;
  test::write_file(dir.path() / "letter", "");
  EXPECT_FALSE(StoreDir::create(dir.path().string()));
}

}  // namespace
}  // namespace layerfs::store
