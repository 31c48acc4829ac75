#include "tests/oracle/text.h"

#include <gtest/gtest.h>

namespace layerfs::oracle {
namespace {

TEST(OracleText, QuotedWordsComeBack) {
  const std::string awkward("a \"b\"\\\n\x01\xff=\0z", 12);
  const auto words = split_words("op key=" + quote(awkward) + " plain=a/b empty=\"\" last");
  ASSERT_TRUE(words);
  const std::vector<Word> expected = {
      {"op", ""}, {"key", awkward}, {"plain", "a/b"}, {"empty", ""}, {"last", ""}};
  EXPECT_EQ(*words, expected);
}

TEST(OracleText, RefusesWhatDoesNotEnd) {
  EXPECT_FALSE(split_words("a=\"b"));
  EXPECT_FALSE(split_words("a=\"\\"));
  EXPECT_FALSE(split_words("a=\"\\x4"));
  EXPECT_FALSE(split_words("a=\"\\xzz\""));
  EXPECT_FALSE(parse_number("12x"));
  EXPECT_FALSE(parse_number(""));
}

TEST(OracleText, NumbersAreThoseOfC) {
  EXPECT_EQ(parse_number("0644").value_or(0), 0644);
  EXPECT_EQ(parse_number("0x1f").value_or(0), 0x1f);
  EXPECT_EQ(parse_number("-7").value_or(0), -7);
}

}  // namespace
}  // namespace layerfs::oracle
