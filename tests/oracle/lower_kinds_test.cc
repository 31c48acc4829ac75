// The same over layers of several file systems, whose inode numbers coincide.
#include <gtest/gtest.h>

#include "tests/oracle/lab_fixture.h"
#include "tests/support/command.h"

namespace layerfs::oracle {
namespace {

// The kernel, too, has no index over images that all have the UUID zero.
constexpr const char* kNoIndexOptions = "redirect_dir=on,index=off,metacopy=on,xino=auto";

Lab lab(LowerKind lowers) {
  return make_lab({SubjectKind::kLayerfs, test::layerfs_program(), ""}, lowers);
}

TEST(OracleLowerKinds, TmpfsEach) {
  expect_no_difference(lab(LowerKind::kTmpfs), 1010000, 20, {40, kFullOptions, Encoding::kDevice});
}

TEST(OracleLowerKinds, ErofsImages) {
  expect_no_difference(lab(LowerKind::kErofs), 1020000, 20, {40, kFullOptions, Encoding::kDevice});
}

TEST(OracleLowerKinds, SquashfsImages) {
  expect_no_difference(lab(LowerKind::kSquashfs), 1030000, 20,
                       {40, kNoIndexOptions, Encoding::kDevice});
}

}  // namespace
}  // namespace layerfs::oracle
