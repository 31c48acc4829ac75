#include "layerstore/reference.h"

#include <string>

#include <gtest/gtest.h>

#include "layerstore/json_view.h"

namespace layerfs::store {
namespace {

const std::string kHex(64, 'a');
const std::string kDigest = "sha256:" + kHex;

TEST(References, AreThoseOfTheDistributionSpec) {
  const std::string names[] = {"debian",
                               "debian:12",
                               "localhost/t/py:1",
                               "localhost/t/base:1",
                               "registry:5000/a/b:tag",
                               "docker.io/library/debian:latest",
                               "Reg.example.com:5000/a/b",
                               "a__b/c---d/e.f:x",
                               "x86_64",
                               "1",
                               "registry:5000",
                               "localhost/sha256:12",
                               "cafe",
                               std::string(255, 'a')};
  for (const std::string& name : names) {
    const auto plain = parse_reference(name);
    ASSERT_TRUE(plain) << name;
    EXPECT_EQ(plain->name, name);
    EXPECT_FALSE(plain->digest) << name;
    const auto digested = parse_reference(name + "@" + kDigest);
    ASSERT_TRUE(digested) << name;
    EXPECT_EQ(digested->name, name);
    EXPECT_EQ(digested->digest, Digest::parse(kDigest));
  }
}

// Image layouts name their images by a tag alone.
TEST(References, MayBeATagAlone) {
  for (const char* name : {"Release_1", "_x", "v1.0-RC.2"})
    EXPECT_TRUE(parse_reference(name)) << name;
}

TEST(References, AreNoOtherText) {
  const std::string texts[] = {"",
                               ":x",
                               "-x",
                               ".x",
                               "a b",
                               "a\n",
                               "x/",
                               "/x",
                               "a//b",
                               "caf\xc3\xa9",
                               "a:",
                               "a:b:c",
                               "a/B:c",
                               "a..b/c",
                               "a___b/c",
                               "a-/b",
                               "a/../b",
                               "a:-b",
                               "-h.x/a",
                               "h.x:/a",
                               "h.x:p/a",
                               "..",
                               "a+b",
                               std::string("a\0b", 3),
                               "a:" + std::string(129, 't'),
                               std::string(256, 'a'),
                               "a@b",
                               "a@",
                               "@" + kDigest,
                               "a@" + kHex,
                               "a@sha512:" + kHex + kHex,
                               "a@" + kDigest + "@" + kDigest,
                               "a@sha256:" + std::string(64, 'A')};
  for (const std::string& text : texts) EXPECT_FALSE(parse_reference(text)) << text;
}

TEST(References, AreNoDigests) {
  for (const std::string& text : {kDigest, kHex, std::string("sha256:12"), std::string("sha512:x"),
                                  kDigest + "@" + kDigest}) {
    EXPECT_TRUE(is_digest_form(text)) << text;
    EXPECT_FALSE(parse_reference(text)) << text;
  }
  EXPECT_FALSE(is_digest_form(std::string(63, 'a')));
  EXPECT_FALSE(is_digest_form(std::string(64, 'g')));
  EXPECT_FALSE(is_digest_form("a/sha256:12"));
}

TEST(References, MayLookLikeTheBeginningsOfDigests) {
  for (const std::string& text : {std::string("cafe"), std::string("0123"), kHex})
    EXPECT_TRUE(is_digest_prefix(text)) << text;
  for (const std::string& text :
       {std::string("caf"), std::string("cage"), std::string("CAFE"), kHex + "a"})
    EXPECT_FALSE(is_digest_prefix(text)) << text;
}

TEST(References, NameAnImageOfTheirDigestOnly) {
  const Digest manifest = *Digest::parse(kDigest);
  EXPECT_TRUE(is_name_of("good", manifest));
  EXPECT_TRUE(is_name_of("good:1@" + kDigest, manifest));
  EXPECT_FALSE(is_name_of("good@" + Digest::of("other").text(), manifest));
  EXPECT_FALSE(is_name_of(kDigest, manifest));
}

TEST(JsonView, ReadsNothingWhereTheTypeIsAnother) {
  const std::optional<JsonView> json =
      JsonView::parse(R"({"t":1,"n":"x","neg":-1,"list":[1,"a",null],"o":{"k":1,"s":"v"}})");
  ASSERT_TRUE(json);
  EXPECT_EQ(json->text("t"), "");
  EXPECT_EQ(json->number("n"), std::nullopt);
  EXPECT_EQ(json->number("neg"), std::nullopt);
  EXPECT_EQ(json->texts("list"), std::vector<std::string>{"a"});
  EXPECT_EQ(json->text_map("o").size(), 1U);
  EXPECT_EQ(json->at("missing").at("deeper").text("x"), "");
}

TEST(JsonView, OfNoJsonIsNothing) {
  EXPECT_FALSE(JsonView::parse("{\"a\":}"));
  EXPECT_FALSE(JsonView::parse(""));
  EXPECT_FALSE(JsonView::parse(std::string(100'000, '[')));
}

}  // namespace
}  // namespace layerfs::store
