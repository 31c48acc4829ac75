#include "tests/oracle/compare.h"

#include <unistd.h>

#include <gtest/gtest.h>

namespace layerfs::oracle {
namespace {

Case full() {
  Case test;
  test.options = "redirect_dir=on,index=on,metacopy=on,xino=auto";
  return test;
}

Snapshot tree_with(const std::string& field, const std::string& value) {
  return {{"a", {{"type", "file"}, {field, value}}}};
}

bool differ(const std::string& field, const std::string& expected, const std::string& got) {
  return !compare_trees(full(), tree_with(field, expected), tree_with(field, got)).empty();
}

TEST(OracleCompare, EveryFieldCounts) {
  for (const char* field : {"mode", "uid", "gid", "size", "mtime", "atime", "data", "holes",
                            "target", "rdev", "x:user.a", "link", "names", "dtype"})
    EXPECT_TRUE(differ(field, "1", "2")) << field;
  EXPECT_FALSE(differ("mode", "0644", "0644"));
}

TEST(OracleCompare, NamesAndFieldsOfOneSideCount) {
  EXPECT_EQ(compare_trees(full(), {{"a", {}}}, {}).size(), 1u);
  EXPECT_EQ(compare_trees(full(), {}, {{"a", {}}}).size(), 1u);
  EXPECT_EQ(compare_trees(full(), {{"a", {{"x:user.a", ""}}}}, {{"a", {}}}).size(), 1u);
}

TEST(OracleCompare, TheSubjectMayBeRightWhereTheKernelIsNot) {
  EXPECT_TRUE(
      compare_trees(full(), tree_with("phantoms", "1"), {{"a", {{"type", "file"}}}}).empty());
  EXPECT_TRUE(
      compare_trees(full(), tree_with("dino", "differs"), {{"a", {{"type", "file"}}}}).empty());
  EXPECT_FALSE(
      compare_trees(full(), {{"a", {{"type", "file"}}}}, tree_with("phantoms", "1")).empty());
  EXPECT_FALSE(
      compare_trees(full(), {{"a", {{"type", "file"}}}}, tree_with("dino", "differs")).empty());
}

TEST(OracleCompare, LinkCountsMayBeTheNumberOfNames) {
  EXPECT_FALSE(differ("nlink", "3", "1"));
  EXPECT_TRUE(differ("nlink", "1", "2"));
}

TEST(OracleCompare, HolesMayBeKept) {
  EXPECT_FALSE(differ("holes", "0-204800", "0-4096,200704-204800"));
  EXPECT_FALSE(differ("holes", "0-204800", "none"));
  EXPECT_TRUE(differ("holes", "0-4096", "0-204800"));
  EXPECT_TRUE(differ("holes", "0-4096", "inconsistent"));
  Op seek;
  seek.kind = OpKind::kSeek;
  seek.flags = SEEK_HOLE;
  EXPECT_TRUE(compare_results(full(), seek, "ok at=204800", "ok at=4096").empty());
  EXPECT_FALSE(compare_results(full(), seek, "ok at=4096", "ok at=204800").empty());
  seek.flags = SEEK_DATA;
  EXPECT_TRUE(compare_results(full(), seek, "ok at=8192", "ok at=200704").empty());
  EXPECT_TRUE(compare_results(full(), seek, "ok at=8192", "ENXIO").empty());
  EXPECT_FALSE(compare_results(full(), seek, "ENXIO", "ok at=8192").empty());
}

TEST(OracleCompare, AFileMayKeepItsTimeWhereTheKernelsCopyUpSetsIt) {
  Case strict = full();
  strict.options = "metacopy=off";
  EXPECT_FALSE(differ("mtime", "now", "5.000000000"));
  EXPECT_FALSE(compare_trees(strict, tree_with("mtime", "now"), tree_with("mtime", "5.0")).empty());
}

TEST(OracleCompare, MappingsMayBeFresherThanTheKernels) {
  Op map;
  map.kind = OpKind::kMapRead;
  EXPECT_TRUE(compare_results(full(), map, "ok data=1 mapping=differs", "ok data=1").empty());
  EXPECT_FALSE(compare_results(full(), map, "ok data=1", "ok data=1 mapping=differs").empty());
}

TEST(OracleCompare, LayersMustNotChangeInAnything) {
  EXPECT_EQ(compare_exactly(tree_with("nlink", "3"), tree_with("nlink", "1")).size(), 1u);
}

TEST(OracleCompare, ResultsCompareWordByWord) {
  Op op;
  op.kind = OpKind::kStat;
  EXPECT_TRUE(compare_results(full(), op, "ok mode=0644 uid=0", "ok mode=0644 uid=0").empty());
  const auto differences = compare_results(full(), op, "ok mode=0644 uid=0", "ok mode=0600 uid=0");
  ASSERT_EQ(differences.size(), 1u);
  EXPECT_EQ(differences[0].field, "mode");
  EXPECT_FALSE(compare_results(full(), op, "ENOENT", "EACCES").empty());
}

TEST(OracleCompare, OnlyTheKernelsOwnRefusalsAreDeclined) {
  Op rename;
  rename.kind = OpKind::kRename;
  rename.path = "a";
  rename.path2 = "b";
  EXPECT_FALSE(yardstick_declines(full(), rename, "EXDEV"));
  rename.path = std::string(255, 'n');
  EXPECT_TRUE(yardstick_declines(full(), rename, "EXDEV"));
  EXPECT_FALSE(yardstick_declines(full(), rename, "ENOTEMPTY"));
  EXPECT_FALSE(yardstick_declines(full(), rename, "EEXIST"));
  Op fchmod;
  fchmod.kind = OpKind::kFchmod;
  fchmod.slot = 1;
  EXPECT_TRUE(yardstick_declines(full(), fchmod, "EEXIST"));
  EXPECT_TRUE(yardstick_declines(full(), fchmod, "ENOTDIR"));
  EXPECT_TRUE(yardstick_declines(full(), fchmod, "ENOTEMPTY"));
  EXPECT_FALSE(yardstick_declines(full(), fchmod, "EPERM"));
  Op remove;
  remove.kind = OpKind::kRemovexattr;
  remove.path = "a";
  remove.name = "system.posix_acl_access";
  EXPECT_TRUE(yardstick_declines(full(), remove, "ENODATA"));
  EXPECT_FALSE(yardstick_declines(full(), remove, "EPERM"));
  remove.name = "user.a";
  EXPECT_FALSE(yardstick_declines(full(), remove, "ENODATA"));
}

}  // namespace
}  // namespace layerfs::oracle
