// What the program makes of odd directories, names, descriptors and neighbours.
#include <filesystem>
#include <string>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/mount/program_fixture.h"
#include "tests/support/command.h"

namespace layerfs::test {
namespace {

using testing::HasSubstr;
using testing::Not;

class Surroundings : public ProgramFixture {};

TEST_F(Surroundings, RefusesAnUpperThatIsALowerOrLiesWithinOne) {
  const std::string dir = dir_.path();
  for (const std::string name : {"a/inside", "upper/lower", "work/lower"}) dir_.make(name);
  const auto refused = [&](const std::string& lowers, const std::string& upper,
                           const std::string& part) {
    expect_refused(
        layerfs({"mount", "-o",
                 fmt::format("lowerdir={},upperdir={},workdir={}/work", lowers, upper, dir), mnt_}),
        part);
  };
  refused(dir + "/a", dir + "/a", "lie within each other");
  refused(dir + "/b:" + dir + "/a", dir + "/a/inside", "upperdir '" + dir + "/a/inside'");
  refused(dir + "/upper/lower", dir + "/upper", "lowerdir '" + dir + "/upper/lower'");
  refused(dir + "/work/lower", dir + "/upper", "workdir '" + dir + "/work'");
  refused(dir, dir + "/upper", "lie within each other");
  EXPECT_FALSE(std::filesystem::exists(dir + "/work/work"));
}

TEST_F(Surroundings, RefusesAnUpperThatCannotHoldWhiteouts) {
  mount(writable());
  for (const std::string name : {"mnt/upper", "mnt/work", "outer"}) dir_.make(name);
  const Ran ran = layerfs({"mount", "-o",
                           fmt::format("lowerdir={0}/b,upperdir={1}/upper,workdir={1}/work",
                                       dir_.path().string(), mnt_),
                           dir_ / "outer"});
  EXPECT_EQ(ran.status, 1);
  EXPECT_THAT(ran.err, HasSubstr("cannot hold whiteouts"));
}

TEST_F(Surroundings, IsALayerOfItselfAndOfTheKernelsOverlayfs) {
  mount(writable());
  for (const std::string name : {"outer", "upper2", "work2"}) dir_.make(name);
  const std::string union_of =
      fmt::format("lowerdir={0},upperdir={1}/upper2,workdir={1}/work2", mnt_, dir_.path().string());
  const std::string outer = dir_ / "outer";
  const std::string use = " && cat file && echo new >new && rm other && ls";
  for (const std::string& how :
       {layerfs_program() + " mount", std::string("mount -t overlay overlay")}) {
    const Ran ran = shell(how + " -o " + union_of + " " + outer + " && (cd " + outer + use +
                          "); umount " + outer + " && rm -r " + path_of("upper2") + "/*");
    EXPECT_EQ(ran.out, "from afile\nnew\n") << how << ran.err;
  }
}

TEST_F(Surroundings, NamesThatAreNotTextAreListedAndUnmounted) {
  const std::string odd = dir_.make("line\nfeed\xff");
  ASSERT_EQ(layerfs({"mount", "-o", lower(), odd}).status, 0);
  const Ran listed = layerfs({"ps", "--json"});
  // Other tests' mounts come and go.
  const std::size_t at = listed.out.find("line\\nfeed");
  ASSERT_NE(at, std::string::npos) << listed.out;
  const std::size_t begin = listed.out.rfind("  {", at);
  EXPECT_THAT(listed.out.substr(begin, at - begin), HasSubstr("\"alive\": true"));
  EXPECT_EQ(layerfs({"umount", odd}).status, 0);
}

TEST_F(Surroundings, WarningsOfTheLayersAreSentences) {
  const Ran ran =
      layerfs({"mount", "-o",
               fmt::format("lowerdir={0}/a,layerindex={0}/a/file", dir_.path().string()), mnt_});
  EXPECT_EQ(ran.status, 0);
  EXPECT_THAT(ran.err, testing::StartsWith("layerfs: warning: the layer index"));
}

TEST_F(Surroundings, RefusesASnapshotBesideLowerDirectories) {
  expect_refused(layerfs({"mount", "-o", lower() + ",snapshot=one", mnt_}), "not both");
}

// A daemon would take its own files for them.
TEST_F(Surroundings, MountsWithoutStandardDescriptors) {
  const std::string call = layerfs_program() + " mount -o " + writable() + " " + mnt_;
  ASSERT_EQ(shell(call + " <&- >&- 2>&-").status, 0);
  EXPECT_EQ(run({"cat", mnt_ + "/file"}, {.timeout_seconds = 10}).out, "from a");
  EXPECT_EQ(layerfs({"umount", mnt_}).status, 0);
}

TEST_F(Surroundings, ResultsThatCannotBeWrittenAreAnError) {
  mount(lower());
  for (const std::string end : {">/dev/full", ">&-"}) {
    const Ran ran = shell(layerfs_program() + " ps " + end);
    EXPECT_EQ(ran.status, 1) << end;
    EXPECT_THAT(ran.err, HasSubstr("cannot be written to standard output")) << end;
  }
}

}  // namespace
}  // namespace layerfs::test
