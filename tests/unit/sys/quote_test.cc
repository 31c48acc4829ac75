#include "fs/sys/quote.h"

#include <string>

#include <gtest/gtest.h>

namespace layerfs::sys {
namespace {

TEST(Escaped, LeavesTextThatATerminalShows) {
  for (const std::string text : {"", "plain text", "größe", "日本語", "🙂", "a\\x1bb", "'\"`$"})
    EXPECT_EQ(escaped(text), text);
}

TEST(Escaped, TakesTheMeaningFromControlCharacters) {
  EXPECT_EQ(escaped("a\x1b[31mb"), "a\\x1b[31mb");
  EXPECT_EQ(escaped("line\nbreak\ttab\rreturn"), "line\\x0abreak\\x09tab\\x0dreturn");
  EXPECT_EQ(escaped(std::string("nul\0", 4)), "nul\\x00");
  EXPECT_EQ(escaped("\x7f"), "\\x7f");
  EXPECT_EQ(escaped("\xc2\x9b"
                    "31m"),
            "\\xc2\\x9b31m");                  // CSI of C1
  EXPECT_EQ(escaped("\xc2\xa0"), "\xc2\xa0");  // the first that is no control
}

TEST(Escaped, TakesTheMeaningFromWhatTurnsTheDirection) {
  EXPECT_EQ(escaped("a\u202etxt"), "a\\xe2\\x80\\xaetxt");
  EXPECT_EQ(escaped("\u202a\u2066\u2069"), "\\xe2\\x80\\xaa\\xe2\\x81\\xa6\\xe2\\x81\\xa9");
  EXPECT_EQ(escaped("\u2028"), "\\xe2\\x80\\xa8");
  EXPECT_EQ(escaped("\u2027\u202f\u2065\u206a"), "\u2027\u202f\u2065\u206a");
}

TEST(Escaped, ShowsTheBytesOfWhatIsNotUtf8) {
  EXPECT_EQ(escaped("\xff\xfe"), "\\xff\\xfe");
  EXPECT_EQ(escaped("\x9b"), "\\x9b");
  EXPECT_EQ(escaped("\xc3"), "\\xc3");                    // cut short
  EXPECT_EQ(escaped("\xc0\x9b"), "\\xc0\\x9b");           // not the shortest form
  EXPECT_EQ(escaped("\xe0\x82\x9b"), "\\xe0\\x82\\x9b");  // U+009B in three bytes
  EXPECT_EQ(escaped("\xf0\x80\x82\x9b"), "\\xf0\\x80\\x82\\x9b");
  EXPECT_EQ(escaped("\xed\xa0\x80"), "\\xed\\xa0\\x80");  // a surrogate
  EXPECT_EQ(escaped("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80");
}

TEST(Escaped, ChangesNothingTheSecondTime) {
  const std::string once = escaped("\x1b\xc2\x9b\xff\n\u202e");
  EXPECT_EQ(escaped(once), once);
}

TEST(JsonEscaped, SaysTheSame) {
  EXPECT_EQ(json_escaped("{\n  \"a\": \"\\u001b größe\"\n}"), "{\n  \"a\": \"\\u001b größe\"\n}");
  EXPECT_EQ(json_escaped("[\"\x7f\xc2\x9b\u202e\"]"), "[\"\\u007f\\u009b\\u202e\"]");
  EXPECT_EQ(json_escaped("[\"\xff\"]"), "[\"\\ufffd\"]");
}

}  // namespace
}  // namespace layerfs::sys
