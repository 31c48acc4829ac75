#include "tests/oracle/case.h"

#include <gtest/gtest.h>

#include "tests/oracle/generate.h"

namespace layerfs::oracle {
namespace {

TEST(OracleCase, ScriptsParseBackToTheSameCase) {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    const std::string script = to_text(generate_case(seed, {}));
    const Outcome<Case> parsed = parse_case(script);
    ASSERT_TRUE(parsed) << seed << ": " << parsed.error().sentence;
    EXPECT_EQ(to_text(*parsed), script);
  }
}

TEST(OracleCase, IsReproducibleFromItsSeed) {
  EXPECT_EQ(to_text(generate_case(7, {})), to_text(generate_case(7, {})));
  EXPECT_NE(to_text(generate_case(7, {})), to_text(generate_case(8, {})));
}

TEST(OracleCase, RefusesWhatIsNoScript) {
  EXPECT_FALSE(parse_case("ops\nmkdir path=a\n"));
  EXPECT_FALSE(parse_case("layer\nops\nfly path=a\n"));
  EXPECT_FALSE(parse_case("layer\nops\nmkdir depth=3\n"));
  EXPECT_FALSE(parse_case("file path=a\nlayer\nops\n"));
}

TEST(OracleCase, PatternsAreOneLongFileCutAnywhere) {
  const std::string whole = pattern(3, 0, 100);
  EXPECT_EQ(pattern(3, 13, 50), whole.substr(13, 50));
  EXPECT_NE(pattern(4, 0, 100), whole);
  EXPECT_EQ(pattern(3, 5, 0), "");
}

// Every kind of operation occurs, or the generator has lost one.
TEST(OracleCase, GeneratesEveryOperation) {
  std::set<std::string_view> kinds;
  for (uint64_t seed = 1; seed <= 200; ++seed)
    for (const Op& op : generate_case(seed, {}).ops) kinds.insert(kind_name(op.kind));
  EXPECT_EQ(kinds.size(), static_cast<size_t>(OpKind::kStackUpper) + 1);
}

}  // namespace
}  // namespace layerfs::oracle
