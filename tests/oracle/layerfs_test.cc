// layerfs against kernel overlayfs: fixed seeds, the same on every machine. For other seeds, and to
// replay the script that a failure prints, see build/tests/oracle/oracle --help.
#include <gtest/gtest.h>

#include "tests/oracle/lab_fixture.h"
#include "tests/support/command.h"

namespace layerfs::oracle {
namespace {

Lab lab(const std::string& extra = "") {
  return make_lab({SubjectKind::kLayerfs, test::layerfs_program(), extra});
}

TEST(OracleLayerfs, Redirects) {
  expect_no_difference(lab(), 100000, 150, {40, kFullOptions, Encoding::kDevice});
}

TEST(OracleLayerfs, XattrWhiteouts) {
  expect_no_difference(lab(), 200000, 40, {40, kFullOptions, Encoding::kXattr});
}

TEST(OracleLayerfs, AufsWhiteouts) {
  expect_no_difference(lab(), 300000, 40, {40, kFullOptions, Encoding::kAufs});
}

TEST(OracleLayerfs, WholeCopies) {
  expect_no_difference(lab(), 400000, 60, {40, kWholeCopyOptions, Encoding::kDevice});
}

TEST(OracleLayerfs, PlainOptions) {
  expect_no_difference(lab(), 500000, 40, {40, kPlainOptions, Encoding::kDevice});
}

TEST(OracleLayerfs, UserXattrs) {
  expect_no_difference(lab(), 600000, 40, {40, kUserOptions, Encoding::kDevice});
}

TEST(OracleLayerfs, NothingPassedThrough) {
  expect_no_difference(lab("passthrough=none"), 700000, 40, {40, kFullOptions, Encoding::kDevice});
}

TEST(OracleLayerfs, WithTheWritebackCache) {
  expect_no_difference(lab("passthrough=none,writeback=on"), 750000, 40,
                       {40, kFullOptions, Encoding::kDevice});
}

TEST(OracleLayerfs, IndexedLayers) {
  Lab indexed = lab();
  indexed.subject.indexed = true;
  expect_no_difference(indexed, 900000, 60, {40, kFullOptions, Encoding::kDevice});
  expect_no_difference(indexed, 910000, 20, {40, kFullOptions, Encoding::kXattr});
  expect_no_difference(indexed, 920000, 20, {40, kFullOptions, Encoding::kAufs});
}

TEST(OracleLayerfs, LongSequences) {
  expect_no_difference(lab(), 800000, 8, {400, kFullOptions, Encoding::kDevice});
}

}  // namespace
}  // namespace layerfs::oracle
