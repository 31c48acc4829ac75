// Input that must be refused: a sentence, a non-zero exit, nothing left behind, nothing outside.
#include <algorithm>
#include <filesystem>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/e2e/layerfs.h"

namespace layerfs::test {
namespace {

namespace fs = std::filesystem;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

// One sentence for a person: a line that begins with the program's name, and no trace of a crash.
MATCHER(IsASentence, "is a sentence for a person") {
  const auto last = arg.find_last_not_of('\n');
  if (!arg.starts_with("layerfs: ") || last == std::string::npos) return false;
  return arg.find("terminate called") == std::string::npos &&
         arg.find("Sanitizer") == std::string::npos && arg.find("what():") == std::string::npos;
}

class BadImage : public ::testing::Test {
 protected:
  void SetUp() override {
    // Another image in the store, so that its files and directories exist before and after.
    make("good");
    ASSERT_TRUE(layerfs_({"import", layout("good"), "--name", "good"}).ok());
    write_file(outside() / "victim", "untouched\n");
  }

  fs::path layout(const std::string& kind) const { return layerfs_.dir() / kind; }
  fs::path outside() const { return layerfs_.dir() / "outside"; }

  void make(const std::string& kind) const {
    const Ran ran =
        run({"python3", LAYERFS_E2E_SOURCE "/hostile.py", kind, layout(kind).string(), outside()});
    ASSERT_TRUE(ran.ok()) << ran.err;
  }

  void expect_outside_untouched() const {
    EXPECT_EQ(read_file(outside() / "victim"), "untouched\n");
    EXPECT_EQ(fs::hard_link_count(outside() / "victim"), 1u);
    EXPECT_EQ(std::distance(fs::directory_iterator(outside()), {}), 1);
    EXPECT_FALSE(fs::exists("/evil"));
  }

  // Imports `archive`, which must be refused without a trace.
  void expect_refused(const fs::path& archive) {
    const auto before = layerfs_.stored_files();
    const Ran ran = layerfs_({"import", archive, "--name", "bad"});
    EXPECT_EQ(ran.status, 1) << ran.out << ran.err;
    EXPECT_THAT(ran.err, IsASentence());
    EXPECT_EQ(layerfs_.stored_files(), before);
    EXPECT_NE(layerfs_({"inspect", "bad"}).status, 0);
    expect_outside_untouched();
  }

  Layerfs layerfs_;
};

class RefusedImage : public BadImage, public ::testing::WithParamInterface<const char*> {};

TEST_P(RefusedImage, IsRefusedWithASentenceAndLeavesNothing) {
  make(GetParam());
  expect_refused(layout(GetParam()));
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, RefusedImage,
    ::testing::Values("dotdot-name", "dotdot-inside", "absolute-name", "dotdot-directory",
                      "symlink-then-write", "symlink-dotdot-then-write", "symlink-then-hard-link",
                      "hard-link-dotdot", "hard-link-absolute", "hard-link-to-nothing",
                      "whiteout-dotdot", "whiteout-dot", "truncated-layer", "wrong-layer-digest",
                      "wrong-diff-id", "wrong-config-digest", "unknown-media-type",
                      "unknown-manifest-type", "config-not-json", "missing-blob", "fewer-diff-ids",
                      "not-a-tar"),
    [](const auto& tested) {
      std::string name = tested.param;
      std::replace(name.begin(), name.end(), '-', '_');
      return name;
    });

// A directory of an upper layer hides the symlink below: legal, and nothing is followed.
TEST_F(BadImage, ASymlinkOfALowerLayerIsNotFollowed) {
  for (const std::string kind : {"symlink-in-a-lower-layer", "whiteout-through-symlink"}) {
    make(kind);
    EXPECT_TRUE(layerfs_({"import", layout(kind), "--name", kind}).ok());
    const fs::path root = layerfs_.mount({"--read-only", kind});
    EXPECT_TRUE(fs::is_directory(fs::symlink_status(root / "out"))) << kind;
    expect_outside_untouched();
  }
}

TEST_F(BadImage, ATruncatedArchiveIsRefused) {
  const fs::path whole = layerfs_.dir() / "whole.tar";
  ASSERT_TRUE(run({"tar", "-C", layout("good"), "-cf", whole, "."}).ok());
  ASSERT_TRUE(layerfs_({"import", whole, "--name", "whole"}).ok());
  const auto size = fs::file_size(whole);
  for (const auto length : {size / 4, size / 2, size * 3 / 5}) {
    const fs::path cut = layerfs_.dir() / "cut.tar";
    fs::copy_file(whole, cut, fs::copy_options::overwrite_existing);
    fs::resize_file(cut, length);
    expect_refused(cut);
  }
}

TEST_F(BadImage, WhatIsNoArchiveIsRefused) {
  write_file(layerfs_.dir() / "text", "this is no archive\n");
  expect_refused(layerfs_.dir() / "text");
  expect_refused(layerfs_.dir() / "missing");
  expect_refused(layerfs_.dir().make("empty"));
  expect_refused("/dev/null");
}

TEST_F(BadImage, AnImageThatIsNotInTheStoreIsNamed) {
  const fs::path point = layerfs_.dir().make("point");
  const Ran ran = layerfs_({"mount", "absent:1", point});
  EXPECT_EQ(ran.status, 1);
  EXPECT_THAT(ran.err, IsASentence());
  EXPECT_THAT(ran.err, HasSubstr("absent:1"));
  EXPECT_FALSE(is_mounted(point));
}

TEST_F(BadImage, AFullDiskLeavesTheStoreAsItWas) {
  const fs::path disk = layerfs_.dir().make("store-on-small-disk");
  ASSERT_TRUE(run({"mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", disk}).ok());
  const Ran ran = layerfs_(
      {"--root", (disk / "store").string(), "import", real_images() / "oci.tar", "--name", "big"});
  EXPECT_EQ(ran.status, 1);
  EXPECT_THAT(ran.err, IsASentence());
  EXPECT_THAT(ran.err, ContainsRegex("[Nn]o space left"));
  const Ran left = shell("find " + (disk / "store").string() + " -type f -size +64k");
  EXPECT_EQ(left.out, "");
}

class BadMount : public ::testing::Test {
 protected:
  // Mounts with the options, which must be refused; the sentence is returned.
  std::string expect_refused(const std::vector<std::string>& args) {
    const fs::path point = layerfs_.dir().make("point");
    std::vector<std::string> all{"mount"};
    all.insert(all.end(), args.begin(), args.end());
    all.push_back(point);
    const Ran ran = layerfs_(all);
    EXPECT_EQ(ran.status, 1);
    EXPECT_THAT(ran.err, IsASentence());
    EXPECT_FALSE(is_mounted(point));
    return ran.err;
  }

  std::string at(const std::string& name) const { return layerfs_.dir() / name; }
  std::string made(const std::string& name) const { return layerfs_.dir().make(name); }

  Layerfs layerfs_;
};

TEST_F(BadMount, AMissingLowerDirectoryIsNamed) {
  EXPECT_THAT(expect_refused({"-o", "lowerdir=" + at("missing")}), HasSubstr("missing"));
  EXPECT_THAT(expect_refused({"-o", "lowerdir=" + made("there") + ":" + at("missing")}),
              HasSubstr("missing"));
  write_file(at("file"), "");
  EXPECT_THAT(expect_refused({"-o", "lowerdir=" + at("file")}), HasSubstr("file"));
}

TEST_F(BadMount, AnUpperNeedsAWorkDirectoryOnItsFileSystem) {
  const std::string lower = "lowerdir=" + made("lower");
  expect_refused({"-o", lower + ",upperdir=" + made("upper")});
  ASSERT_TRUE(run({"mount", "-t", "tmpfs", "tmpfs", made("other")}).ok());
  expect_refused({"-o", lower + ",upperdir=" + made("upper") + ",workdir=" + made("other/work")});
}

TEST_F(BadMount, AnUpperWithoutXattrsIsRefused) {
  const std::string disk = made("disk");
  ASSERT_TRUE(run({"mount", "-t", "ramfs", "ramfs", disk}).ok());
  const std::string said =
      expect_refused({"-o", "lowerdir=" + made("lower") + ",upperdir=" + made("disk/upper") +
                                ",workdir=" + made("disk/work")});
  EXPECT_THAT(said, HasSubstr("xattr"));
  EXPECT_TRUE(fs::is_empty(disk + "/upper"));
}

TEST_F(BadMount, AnUpperInUseIsRefused) {
  const std::string options =
      "lowerdir=" + made("lower") + ",upperdir=" + made("upper") + ",workdir=" + made("work");
  const fs::path first = layerfs_.mount({"-o", options});
  write_file(first / "alive", "yes");
  EXPECT_THAT(expect_refused({"-o", options}), HasSubstr("in use"));
  EXPECT_EQ(read_file(first / "alive"), "yes");
  layerfs_.unmount(first);
  const fs::path again = layerfs_.mount({"-o", options});
  EXPECT_EQ(read_file(again / "alive"), "yes");
}

TEST_F(BadMount, AnImageWithoutAStoreIsRefused) {
  EXPECT_THAT(expect_refused({"nowhere/to/be:found"}), HasSubstr("there is no store"));
}

TEST_F(BadMount, AMountPointThatIsNoDirectoryIsRefused) {
  write_file(at("file"), "");
  const Ran ran = layerfs_({"mount", "-o", "lowerdir=" + made("lower"), at("file")});
  EXPECT_NE(ran.status, 0);
  EXPECT_THAT(ran.err, IsASentence());
  EXPECT_NE(layerfs_({"mount", "-o", "lowerdir=" + made("lower"), at("absent")}).status, 0);
}

TEST_F(BadMount, AFullUpperFailsTheWriteAndKeepsTheFile) {
  const std::string disk = made("disk");
  ASSERT_TRUE(run({"mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk}).ok());
  write_file(at("lower/big"), std::string(8 << 20, 'x'));
  const fs::path root =
      layerfs_.mount({"-o", "lowerdir=" + at("lower") + ",upperdir=" + made("disk/upper") +
                                ",workdir=" + made("disk/work")});
  const Ran ran = shell("printf more >>" + (root / "big").string());
  EXPECT_NE(ran.status, 0);
  EXPECT_THAT(ran.err, HasSubstr("No space left"));
  EXPECT_EQ(fs::file_size(root / "big"), 8u << 20);
  EXPECT_FALSE(fs::exists(disk + "/upper/big"));
  // No temporary is left either: the space is free again.
  EXPECT_LT(fs::space(disk).capacity - fs::space(disk).free, 1u << 20);
  EXPECT_EQ(fs::file_size(at("lower/big")), 8u << 20);
}

}  // namespace
}  // namespace layerfs::test
