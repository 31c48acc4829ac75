#include "tools/container/options.h"

#include <cstdlib>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/temp_dir.h"

namespace layerfs::tools {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class Options : public testing::Test {
 protected:
  Volume volume(const std::string& text) const {
    ContainerWords words;
    words.volumes = {text};
    const auto options = container_options(words, {}, "box");
    EXPECT_TRUE(options) << options.error().sentence;
    return options ? options->volumes.at(0) : Volume{};
  }
  std::string refused(const ContainerWords& words) const {
    const auto options = container_options(words, {}, "box");
    EXPECT_FALSE(options);
    return options ? "" : options.error().sentence;
  }
  std::string refused_volume(const std::string& text) const {
    ContainerWords words;
    words.volumes = {text};
    return refused(words);
  }

  const test::TempDir dir_;
  const std::string source_ = dir_.make("source");
};

TEST_F(Options, AVolumeHasASourceATargetAndAMode) {
  EXPECT_EQ(volume(source_ + ":/data").source, source_);
  EXPECT_EQ(volume(source_ + ":/data").target, "/data");
  EXPECT_FALSE(volume(source_ + ":/data").read_only);
  EXPECT_FALSE(volume(source_ + ":/data:rw").read_only);
  EXPECT_TRUE(volume(source_ + ":/data:ro").read_only);
  EXPECT_EQ(volume(source_ + "/.:/a/../data/").source, source_);
  EXPECT_EQ(volume(source_ + "/.:/a/../data/").target, "/data");
}

TEST_F(Options, VolumesThatCannotBeAreRefused) {
  EXPECT_THAT(refused_volume(source_), HasSubstr("SRC:DST"));
  EXPECT_THAT(refused_volume(":/data"), HasSubstr("SRC:DST"));
  EXPECT_THAT(refused_volume(source_ + ":/data:rx"), HasSubstr("SRC:DST"));
  EXPECT_THAT(refused_volume(source_ + "/none:/data"), HasSubstr("No such file"));
  EXPECT_THAT(refused_volume(source_ + ":data"), HasSubstr("absolute"));
  EXPECT_THAT(refused_volume(source_ + ":/"), HasSubstr("not its root"));
  EXPECT_THAT(refused_volume(source_ + ":/a/.."), HasSubstr("not its root"));
}

TEST_F(Options, AVariableWithoutAValueIsTheCallers) {
  ::setenv("LAYERFS_TEST_SET", "yes", 1);
  ContainerWords words;
  words.env = {"A=1", "LAYERFS_TEST_SET", "LAYERFS_TEST_UNSET"};
  EXPECT_THAT(container_options(words, {}, "box")->env, ElementsAre("A=1", "LAYERFS_TEST_SET=yes"));
  words.env = {"=1"};
  EXPECT_THAT(refused(words), HasSubstr("no variable"));
}

TEST_F(Options, TheCommandStandsBehindTheFirstDashes) {
  Args args = {"--read-only", "image", "--", "sh", "-c", "--", "x"};
  EXPECT_THAT(split_off_command(args), ElementsAre("sh", "-c", "--", "x"));
  EXPECT_THAT(args, ElementsAre("--read-only", "image"));
  EXPECT_THAT(split_off_command(args), IsEmpty());
}

}  // namespace
}  // namespace layerfs::tools
