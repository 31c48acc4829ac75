// The same over layers of several file systems, whose inode numbers coincide.
#include <gtest/gtest.h>

#include "tests/oracle/lab_fixture.h"
#include "tests/support/command.h"

namespace layerfs::oracle {
namespace {

Lab lab(LowerKind lowers) {
  return make_lab({SubjectKind::kLayerfs, test::layerfs_program(), ""}, lowers);
}

TEST(OracleLowerKinds, TmpfsEach) {
  expect_no_difference(lab(LowerKind::kTmpfs), 1010000, 20, {40, kFullOptions, Encoding::kDevice});
}

}  // namespace
}  // namespace layerfs::oracle
