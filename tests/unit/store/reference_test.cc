#include <gtest/gtest.h>

#include "layerstore/import.h"
#include "layerstore/json_view.h"

namespace layerfs::store {
namespace {

TEST(References, AreThoseThatOtherProgramsTake) {
  for (const char* name : {"debian", "debian:12", "localhost/t/py:1", "a@b", "x86_64", "1"}) {
    EXPECT_TRUE(is_valid_reference(name)) << name;
  }
  for (const char* name : {"", ":x", "-x", "a b", "a\n", "x/", "caf\xc3\xa9"}) {
    EXPECT_FALSE(is_valid_reference(name)) << name;
  }
  EXPECT_FALSE(is_valid_reference(std::string(256, 'a')));
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
