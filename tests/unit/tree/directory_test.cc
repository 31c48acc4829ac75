#include <cstddef>
#include <set>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "fs/layer/name_hash.h"
#include "fs/tree/node.h"

namespace layerfs::tree {
namespace {

// Anybody can make as many names as he likes that have one hash: a factor of the product that XXH3
// makes of the first sixteen bytes is the first eight, less a constant that is known.
std::vector<std::string> colliding_names(std::size_t count) {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < count; ++i)
    names.push_back("\xb8\xfe\x6c\x39\x23\xa4\x4b\xbe" + fmt::format("{:08}", i) +
                    "0123456789abcdef");
  return names;
}

constexpr std::size_t kMany = 200'000;

TEST(Directory, NamesMayCollide) {
  const std::vector<std::string> names = colliding_names(kMany);
  ASSERT_EQ(layer::name_hash(names[0]), layer::name_hash(names[kMany - 1]));
  Directory dir;
  for (const std::string& name : names) dir.insert(name);
  ASSERT_EQ(dir.entries.size(), kMany);
  std::set<std::uint64_t> keys;
  for (const std::string& name : names) {
    const Entry* entry = dir.find(name);
    ASSERT_NE(entry, nullptr);
    EXPECT_EQ(entry->name.view(), name);
    keys.insert(dir.key_of(*entry));
    EXPECT_EQ(&dir.entries.find(dir.key_of(*entry))->second, entry);
  }
  EXPECT_EQ(keys.size(), kMany);
  EXPECT_GE(*keys.begin(), layer::kFirstNameHash);
  EXPECT_EQ(*keys.rbegin() >> 63, 0U);
}

TEST(Directory, TheFirstOfNamesThatCollideMayGo) {
  const std::vector<std::string> names = colliding_names(kMany);
  Directory dir;
  for (const std::string& name : names) dir.merge_below(dir.insert(name)).push_back(1);
  for (std::size_t i = 0; i < kMany; ++i) {
    Entry* entry = dir.find(names[i]);
    ASSERT_NE(entry, nullptr);
    ASSERT_NE(dir.merging_below(*entry), nullptr);
    dir.erase(*entry);
    ASSERT_EQ(dir.find(names[i]), nullptr);
  }
  EXPECT_TRUE(dir.entries.empty());
  const Entry* again = &dir.insert(names[7]);
  EXPECT_EQ(again, dir.find(names[7]));
  EXPECT_EQ(dir.key_of(*dir.find(names[7])), layer::name_hash(names[7]));
}

TEST(Directory, ANameThatCollidesHasTheSameKeyAfterItWasForgotten) {
  const std::vector<std::string> names = colliding_names(100);
  Directory first, second;
  for (const std::string& name : names) first.insert(name);
  second.insert(names[0]);
  for (std::size_t i = names.size(); i-- > 1;) second.insert(names[i]);
  for (const std::string& name : names)
    EXPECT_EQ(first.key_of(*first.find(name)), second.key_of(*second.find(name)));
}

}  // namespace
}  // namespace layerfs::tree
