#include "tools/container/options.h"

#include <cstdlib>
#include <sstream>
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
  static Outcome<ContainerOrder> order(const Args& args) {
    std::ostringstream nobody;
    Io io{nobody, nobody};
    ContainerCommandLine line("", "layerfs test", args);
    EXPECT_FALSE(line.parse(io)) << nobody.str();
    return line.order("box");
  }
  Volume volume(const std::string& text) const {
    const auto given = order({"image", "--volume", text});
    EXPECT_TRUE(given) << given.error().sentence;
    return given ? given->container.volumes.at(0) : Volume{};
  }
  std::string refused(const std::string& option, const std::string& text) const {
    const auto given = order({option, text, "image"});
    EXPECT_FALSE(given);
    return given ? "" : given.error().sentence;
  }
  std::string refused_volume(const std::string& text) const { return refused("--volume", text); }

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
  const auto given =
      order({"image", "-e", "A=1", "-e", "LAYERFS_TEST_SET", "-e", "LAYERFS_TEST_UNSET"});
  EXPECT_THAT(given->container.env, ElementsAre("A=1", "LAYERFS_TEST_SET=yes"));
  EXPECT_THAT(refused("--env", "=1"), HasSubstr("no variable"));
}

TEST_F(Options, TheCommandStandsBehindTheFirstDashes) {
  const auto given = order({"--read-only", "image", "--", "sh", "-c", "--", "x"});
  EXPECT_EQ(given->image, "image");
  EXPECT_TRUE(given->container.read_only);
  EXPECT_THAT(given->container.command, ElementsAre("sh", "-c", "--", "x"));
  EXPECT_THAT(order({"image"})->container.command, IsEmpty());
}

TEST_F(Options, TheHostNameIsTheContainersUnlessAnotherIsAskedFor) {
  EXPECT_EQ(order({"image"})->container.hostname, "box");
  EXPECT_EQ(order({"image", "--hostname", "other"})->container.hostname, "other");
}

}  // namespace
}  // namespace layerfs::tools
