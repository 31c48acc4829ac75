#include "layerstore/entry_path.h"

#include <gtest/gtest.h>

#include "layerstore/quote.h"

namespace layerfs::store {
namespace {

std::string normal(std::string_view raw) {
  const Outcome<EntryPath> path = parse_entry_path(raw);
  return path ? path->text() : "refused";
}

TEST(EntryPath, IsTakenApartIntoParentAndName) {
  const Outcome<EntryPath> path = parse_entry_path("./usr//bin/./x/");
  ASSERT_TRUE(path);
  EXPECT_EQ(path->parent, "usr/bin");
  EXPECT_EQ(path->name, "x");
}

TEST(EntryPath, OfTheRootHasNoName) {
  for (const char* raw : {".", "./", "/", "", "./."}) {
    const Outcome<EntryPath> path = parse_entry_path(raw);
    ASSERT_TRUE(path) << raw;
    EXPECT_TRUE(path->is_root()) << raw;
  }
}

TEST(EntryPath, LeadsNowhereElse) {
  EXPECT_EQ(normal("../x"), "refused");
  EXPECT_EQ(normal("a/../../x"), "refused");
  EXPECT_EQ(normal("a/.."), "refused");
  EXPECT_EQ(normal("/etc/passwd"), "refused");
  EXPECT_EQ(normal("//x"), "refused");
  EXPECT_EQ(normal("/./x"), "refused");
  EXPECT_EQ(normal("..."), "...");
  EXPECT_EQ(normal("..x"), "..x");
}

TEST(EntryPath, MayHave255BytesInEachName) {
  EXPECT_EQ(normal("d/" + std::string(255, 'n')), "d/" + std::string(255, 'n'));
  EXPECT_EQ(normal("d/" + std::string(256, 'n')), "refused");
}

TEST(EntryPath, OfALinkTargetMayBeginWithASlash) {
  const Outcome<EntryPath> path = parse_link_target("/usr/bin/x");
  ASSERT_TRUE(path);
  EXPECT_EQ(path->text(), "usr/bin/x");
  EXPECT_FALSE(parse_link_target("../x"));
}

TEST(Quote, MakesNamesSafeToPrint) {
  EXPECT_EQ(quote("a b"), "'a b'");
  EXPECT_EQ(quote("caf\xc3\xa9"), "'caf\xc3\xa9'");
  EXPECT_EQ(quote("a\x1b[31m\n\xff"), "'a\\x1b[31m\\x0a\\xff'");
  EXPECT_EQ(quote("\xc2\x9b"), "'\\xc2\\x9b'");
  EXPECT_LT(quote(std::string(10'000, 'x')).size(), 300U);
}

}  // namespace
}  // namespace layerfs::store
