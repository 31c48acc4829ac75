#include "snapshotter/filter.h"

#include <random>

#include "snapshotter/unpack_key.h"
#include "tests/snapshotter/fixture.h"

namespace layerfs::test {
namespace {

using snapshotter::Filters;

const Info kInfo{"ns/1/name",
                 "the parent",
                 Kind::kActive,
                 0,
                 0,
                 {{"containerd.io/snapshot.ref", "sha256:abc"}, {"plain", "v,1"}, {"a.b", "c"}}};

bool matches(const std::string& text) {
  const Answer<Filters> filters = Filters::parse({text});
  EXPECT_THAT(filters, Granted()) << text;
  return filters && filters->match(kInfo);
}

TEST(Filter, ComparesFields) {
  EXPECT_TRUE(matches("name==ns/1/name"));
  EXPECT_FALSE(matches("name==name"));
  EXPECT_TRUE(matches("kind==active"));
  EXPECT_TRUE(matches("kind!=view"));
  EXPECT_TRUE(matches("name~=^ns/[0-9]+/"));
  EXPECT_FALSE(matches("name~=^name"));
  EXPECT_TRUE(matches(""));
}

TEST(Filter, ReadsQuotes) {
  EXPECT_TRUE(matches("labels.\"containerd.io/snapshot.ref\"==sha256:abc"));
  EXPECT_TRUE(matches("parent==\"the parent\""));
  EXPECT_TRUE(matches("parent==|the parent|,kind==active"));
  EXPECT_TRUE(matches("labels.plain==\"v\\x2c\\u0031\""));
  EXPECT_TRUE(matches("labels.plain~=/v,[0-9]/"));
}

TEST(Filter, JoinsThePartsOfALabel) { EXPECT_TRUE(matches("labels.a.b==c")); }

TEST(Filter, AsksForPresence) {
  EXPECT_TRUE(matches("labels.plain"));
  EXPECT_FALSE(matches("labels.absent"));
  EXPECT_FALSE(matches("nothing"));
  EXPECT_TRUE(matches("labels.absent!=x"));
}

TEST(Filter, MeansAllOfItsSelectorsAndAnyOfSeveral) {
  EXPECT_FALSE(matches("kind==active,parent==x"));
  const auto filters = Filters::parse({"kind==view", "labels.plain"});
  EXPECT_TRUE(filters->match(kInfo));
  EXPECT_TRUE(Filters::parse({})->match(kInfo));
}

TEST(Filter, ThatIsMalformedIsRefused) {
  for (const std::string text :
       {"==x", "name=x", "name==", "name==x,", ",", "name==\"x", "labels.==x", "name~=(", "name x",
        "labels.\"\\q\"", "name==\"\\x1\"", "name==\"\\U00110000\"", "\"", "name==a b"}) {
    EXPECT_THAT(Filters::parse({text}), Refused(Code::kInvalidArgument)) << text;
  }
}

TEST(Filter, SurvivesWhateverItIsGiven) {
  std::mt19937 random(7);
  const std::string alphabet = "name=!~.,\"/|\\x0u labels(*+)[]";
  for (int i = 0; i < 100'000; ++i) {
    std::string text(random() % 24, ' ');
    for (char& c : text) c = alphabet[random() % alphabet.size()];
    const auto filters = Filters::parse({text});
    if (filters) static_cast<void>(filters->match(kInfo));
  }
}

TEST(UnpackKey, AgreesWithTheNameOfTheCommit) {
  const std::string chain = "sha256:" + std::string(64, 'a');
  EXPECT_TRUE(snapshotter::unpacked_chain("ns/1/extract-12-aB_- " + chain, "ns/2/" + chain));
  EXPECT_TRUE(snapshotter::unpacked_chain("extract-12-a " + chain, chain));
  EXPECT_FALSE(snapshotter::unpacked_chain("extract-12-a " + chain, chain + "0"));
  EXPECT_FALSE(snapshotter::unpacked_chain("build-12 " + chain, chain));
  EXPECT_FALSE(snapshotter::unpacked_chain("extract-12", "extract-12"));
  EXPECT_FALSE(snapshotter::unpacked_chain("extract-1 sha256:../..", "sha256:../.."));
}

}  // namespace
}  // namespace layerfs::test
