// Directories that belong to a mount are not given to another one, and those of one mount are
// apart.
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/mount/either_union.h"

namespace layerfs::test {
namespace {

using testing::HasSubstr;

class Overlap : public EitherUnion {
 protected:
  Overlap() {
    dir_.make("second");
    out(disk_, "mkdir -p lower/in lower-2 work-2 upper-2 upper/in; echo 1 > lower/file");
  }
  void expect_refused(const Layers& layers, const char* reason) const {
    const Ran ran = try_mount(layers, "second");
    EXPECT_FALSE(ran.ok());
    EXPECT_THAT(ran.err, HasSubstr(reason));
    if (ran.ok()) unmount("second");
  }
  // mount(8) says so of EBUSY.
  void expect_busy(const Layers& layers) const {
    expect_refused(layers, is_kernel() ? "already mounted" : "");
  }
  void expect_overlapping(Layers layers) const {
    // With an index the kernel looks at what the attempt before has left.
    if (is_kernel()) layers.options = "index=off";
    expect_refused(layers, is_kernel() ? "symbolic links" : "");
  }
  const Layers live_ = writable({disk_ / "lower"});
};

TEST_P(Overlap, AnUpperBelongsToOneMount) {
  mount(live_);
  expect_busy({live_.lowers, live_.upper, disk_ / "work-2"});
}

TEST_P(Overlap, AWorkDirectoryBelongsToOneMount) {
  mount(live_);
  expect_busy({live_.lowers, disk_ / "upper-2", live_.work});
}

TEST_P(Overlap, TheUpperOfALiveMountIsALowerWithAWarningAtMost) {
  mount(live_);
  const Layers layers{{live_.upper, disk_ / "lower"}, disk_ / "upper-2", disk_ / "work-2"};
  if (is_kernel()) return expect_busy(layers);
  const Ran ran = try_mount(layers, "second");
  EXPECT_TRUE(ran.ok()) << ran.err;
  EXPECT_THAT(ran.err, HasSubstr("is the upperdir of another mount"));
}

TEST_P(Overlap, AnotherMountMayHaveTheSameLower) {
  mount(live_);
  mount({live_.lowers, disk_ / "upper-2", disk_ / "work-2"}, "second");
  EXPECT_EQ(read_file(dir_ / "second/file"), "1\n");
}

TEST_P(Overlap, ALowerInAnotherOneIsRefused) {
  expect_overlapping(writable({disk_ / "lower", disk_ / "lower/in"}));
  expect_overlapping(writable({disk_ / "lower/in", disk_ / "lower"}));
  expect_overlapping(writable({disk_ / "lower", disk_ / "lower"}));
}

TEST_P(Overlap, ALowerInTheUpperOrAroundItIsRefused) {
  expect_overlapping(writable({disk_ / "upper/in"}));
  out(disk_, "mkdir -p box/upper box/work");
  // The kernel has nothing against this one.
  if (!is_kernel()) expect_overlapping({{disk_ / "box"}, disk_ / "box/upper", disk_ / "box/work"});
  expect_overlapping(writable({disk_ / "upper"}));
  expect_overlapping(writable({disk_ / "work"}));
}

INSTANTIATE_TEST_SUITE_P(Over, Overlap, testing::Values("overlay", "layerfs"),
                         [](const auto& over) { return std::string(over.param); });

}  // namespace
}  // namespace layerfs::test
