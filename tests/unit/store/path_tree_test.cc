#include "layerstore/path_tree.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "fs/sys/failure.h"

namespace layerfs::store {
namespace {

// What walk() goes through, as "PATH=VALUE".
struct Seen {
  void down(const std::string& name) { names.push_back(name); }
  Outcome<void> up(const int* value) {
    std::string path;
    for (const std::string& name : names) path += "/" + name;
    if (value != nullptr) all.push_back(path + "=" + std::to_string(*value));
    if (!names.empty()) names.pop_back();
    return {};
  }
  std::vector<std::string> names;
  std::vector<std::string> all;
};

using Lines = std::vector<std::string>;

Lines seen(const PathTree<int>& tree) {
  Seen visitor;
  EXPECT_TRUE(tree.walk(visitor));
  return visitor.all;
}

TEST(PathTree, KeepsValuesByPath) {
  PathTree<int> tree;
  EXPECT_TRUE(tree.empty());
  tree["a/b/c"] = 1;
  tree[""] = 2;
  tree["a"] = 3;
  tree["a"] = 4;
  EXPECT_EQ(tree.size(), 3U);
  EXPECT_EQ(*tree.find("a/b/c"), 1);
  EXPECT_EQ(*tree.find(""), 2);
  EXPECT_EQ(*tree.find("a"), 4);
  EXPECT_EQ(tree.find("a/b"), nullptr);
  EXPECT_EQ(tree.find("a/b/c/d"), nullptr);
}

TEST(PathTree, GoesToChildrenBeforeTheirParents) {
  PathTree<int> tree;
  for (const char* path : {"", "a", "a/b", "a/c/d", "b"}) tree[path] = 0;
  EXPECT_EQ(seen(tree), (Lines{"/b=0", "/a/c/d=0", "/a/b=0", "/a=0", "=0"}));
}

TEST(PathTree, ErasesAPathAloneOrWithAllBelow) {
  PathTree<int> tree;
  for (const char* path : {"a", "a/b", "a/b/c", "ab", "x/y"}) tree[path] = 0;
  EXPECT_TRUE(tree.erase("a/b"));
  EXPECT_FALSE(tree.erase("a/b"));
  EXPECT_FALSE(tree.erase("x"));
  EXPECT_EQ(tree.size(), 4U);
  tree.erase_below("a");
  tree.erase_below("nothing/there");
  EXPECT_EQ(tree.size(), 2U);
  EXPECT_EQ(seen(tree), (Lines{"/x/y=0", "/ab=0"}));
}

}  // namespace
}  // namespace layerfs::store
