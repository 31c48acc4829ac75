// The fuzzer for a short while, on ext4. By hand: build/tests/mixed_io/mixed-io --help.
#include <gtest/gtest.h>

#include "tests/mixed_io/scene.h"
#include "tests/support/loop_fs.h"
#include "tests/support/temp_dir.h"

namespace layerfs::mixed_io {
namespace {

constexpr int kActions = 400;
constexpr std::uint64_t kSeeds = 4;

class OnLayerfs : public testing::TestWithParam<Setting> {};

TEST(MixedIo, ThePlainFileSystemHoldsWhatTheModelSays) {
  const test::TempDir dir;
  const auto fs = test::mount_new_fs(dir, "ext4");
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed)
    ASSERT_EQ(run_plain(dir.make("fs-ext4/" + std::to_string(seed)), seed, kActions), "");
}

TEST_P(OnLayerfs, EveryViewShowsWhatWasLastWritten) {
  const test::TempDir dir;
  const auto fs = test::mount_new_fs(dir, "ext4");
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed)
    ASSERT_EQ(run_mounted(dir.make("fs-ext4/" + std::to_string(seed)), GetParam(), seed, kActions),
              "");
}

INSTANTIATE_TEST_SUITE_P(Settings, OnLayerfs, testing::ValuesIn(settings()),
                         [](const auto& setting) { return std::string(setting.param.name); });

}  // namespace
}  // namespace layerfs::mixed_io
