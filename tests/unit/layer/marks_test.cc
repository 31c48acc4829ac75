#include "fs/layer/marks.h"

#include <fcntl.h>

#include <string>

#include <gtest/gtest.h>

namespace layerfs::layer {
namespace {

Origin sample() {
  Origin origin;
  for (std::size_t i = 0; i < origin.uuid.size(); ++i) origin.uuid[i] = static_cast<std::byte>(i);
  origin.handle = {1, std::string("\xde\xad\0\x01\x02\x03\x04\x05", 8)};
  return origin;
}

TEST(Origin, IsEncodedAsStructOvlFb) {
  const auto value = format_origin(sample());
  ASSERT_TRUE(value);
  EXPECT_EQ(index_name(*value),
            "00fb1d0001"
            "000102030405060708090a0b0c0d0e0f"
            "dead000102030405");
}

TEST(Origin, OfAnUpperFileSaysSo) {
  Origin origin = sample();
  origin.upper = true;
  const auto value = format_origin(origin);
  ASSERT_TRUE(value);
  EXPECT_EQ((*value)[3], 4);
  EXPECT_EQ(parse_origin(*value), origin);
}

TEST(Origin, SurvivesFormattingAndParsing) {
  EXPECT_EQ(parse_origin(format_origin(sample()).value()), sample());
  EXPECT_EQ(parse_index_name(index_name(format_origin(sample()).value())), format_origin(sample()));
}

TEST(Origin, ThatDoesNotFitIsNotFormatted) {
  Origin origin = sample();
  origin.handle.type = 256;
  EXPECT_FALSE(format_origin(origin));
  origin.handle = {1, std::string(MAX_HANDLE_SZ + 4, 'x')};
  EXPECT_FALSE(format_origin(origin));
}

TEST(Origin, IsUnknownWhenMalformed) {
  const std::string good = format_origin(sample()).value();
  EXPECT_FALSE(parse_origin(""));
  for (std::size_t length = 0; length < good.size(); ++length) {
    EXPECT_FALSE(parse_origin(good.substr(0, length))) << length;
  }
  EXPECT_FALSE(parse_origin(good + "1234"));
  const auto with = [&](std::size_t at, int value) {
    std::string changed = good;
    changed[at] = static_cast<char>(value);
    return parse_origin(changed);
  };
  EXPECT_FALSE(with(0, 1)) << "later version";
  EXPECT_FALSE(with(1, 0xfa)) << "magic";
  EXPECT_FALSE(with(2, 28)) << "length";
  EXPECT_FALSE(with(3, 1)) << "the other byte order";
  EXPECT_TRUE(with(3, 3)) << "any byte order";
  EXPECT_FALSE(with(3, 8)) << "unknown flag";
}

TEST(Origin, WithAHandleThatIsNotMadeOfWordsIsUnknown) {
  Origin origin = sample();
  for (const std::size_t size : {0u, 1u, 6u, 7u}) {
    origin.handle.bytes.assign(size, 'x');
    EXPECT_FALSE(parse_origin(format_origin(origin).value())) << size;
  }
}

TEST(IndexName, IsLowerCaseHexOfAnOrigin) {
  const std::string name = index_name(format_origin(sample()).value());
  EXPECT_FALSE(parse_index_name(""));
  EXPECT_FALSE(parse_index_name("#1f"));
  EXPECT_FALSE(parse_index_name(name.substr(1)));
  EXPECT_FALSE(parse_index_name(name + "0"));
  EXPECT_FALSE(parse_index_name(name + "00"));
  EXPECT_FALSE(parse_index_name("00FB" + name.substr(4)));
}

TEST(Nlink, IsASignedDifference) {
  EXPECT_EQ(format_nlink({true, 0}), "U+0");
  EXPECT_EQ(format_nlink({true, 12}), "U+12");
  EXPECT_EQ(format_nlink({false, -3}), "L-3");
  EXPECT_EQ(parse_nlink("U+12"), (NlinkMark{true, 12}));
  EXPECT_EQ(parse_nlink("L-3"), (NlinkMark{false, -3}));
}

TEST(Nlink, IsNothingWhenMalformed) {
  for (const char* value : {"", "U", "U+", "X+1", "U1", "U++1", "U+-1", "U+1x", "L-",
                            "U+99999999999", "U+ 1", "U+2147483648"}) {
    EXPECT_FALSE(parse_nlink(value)) << value;
  }
}

TEST(Redirect, IsOneNameOrAnAbsolutePath) {
  for (const char* value : {"a", "a b", "...", ".a", "/a", "/a/b/c", "/..a/b."}) {
    EXPECT_TRUE(is_valid_redirect(value)) << value;
  }
}

TEST(Redirect, CannotEscape) {
  for (const char* value : {"", "/", ".", "..", "a/b", "a/", "//a", "/a/", "/a//b", "/..",
                            "/a/../b", "/a/./b", "../a"}) {
    EXPECT_FALSE(is_valid_redirect(value)) << value;
  }
  EXPECT_FALSE(is_valid_redirect(std::string("a\0b", 3)));
  EXPECT_FALSE(is_valid_redirect("/a/" + std::string(256, 'x')));
  EXPECT_TRUE(is_valid_redirect("/a/" + std::string(255, 'x')));
}

TEST(Metacopy, IsEmptyOrHasADigest) {
  EXPECT_TRUE(is_valid_metacopy(""));
  EXPECT_TRUE(is_valid_metacopy(std::string("\0\x04\0\0", 4)));
  EXPECT_TRUE(is_valid_metacopy(std::string("\0\x24\0\x01", 4) + std::string(32, 'd')));
  EXPECT_FALSE(is_valid_metacopy(std::string("\0\x04\0", 3)));
  EXPECT_FALSE(is_valid_metacopy(std::string("\x01\x04\0\0", 4)));
  EXPECT_FALSE(is_valid_metacopy(std::string("\0\x05\0\0", 4)));
  EXPECT_FALSE(is_valid_metacopy(std::string("\0\x04\x01\0", 4)));
}

TEST(Protattr, IsALetterPerAttribute) {
  EXPECT_EQ(format_protattr({}), "");
  EXPECT_EQ(format_protattr({true, true}), "ai");
  EXPECT_EQ(parse_protattr("ia"), (Protattr{true, true}));
  EXPECT_EQ(parse_protattr("a?i"), (Protattr{true, false}));
}

}  // namespace
}  // namespace layerfs::layer
