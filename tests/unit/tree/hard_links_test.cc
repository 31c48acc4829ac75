#include "fs/tree/hard_links.h"

#include <memory>

#include <gtest/gtest.h>

namespace layerfs::tree {
namespace {

// A file, known to the table that the test stands for.
std::unique_ptr<Node> file(NodeId id) { return std::make_unique<Node>(id, ino_t{13}, S_IFREG); }

bool gone() { return true; }

TEST(HardLinks, EqualNumbersOnTwoDevicesAreTwoInodes) {
  HardLinks links;
  const auto a = file(2), b = file(3);
  links.insert(*a, {1, 13});
  EXPECT_EQ(links.find_and_count({2, 13}), nullptr);
  links.insert(*b, {2, 13});
  EXPECT_EQ(links.find_and_count({1, 13}), a.get());
  EXPECT_EQ(links.find_and_count({2, 13}), b.get());
  EXPECT_EQ(a->lookups.load(), 1U);
}

TEST(HardLinks, ANodeIsFoundByItsLowerAndByItsUpperInode) {
  HardLinks links;
  const auto node = file(2);
  links.insert(*node, {1, 13});
  links.insert(*node, {9, 500});
  EXPECT_EQ(links.find_and_count({1, 13}), node.get());
  EXPECT_EQ(links.find_and_count({9, 500}), node.get());
  links.erase_if(*node, gone);
  EXPECT_EQ(links.find_and_count({1, 13}), nullptr);
  EXPECT_EQ(links.find_and_count({9, 500}), nullptr);
  EXPECT_TRUE(links.empty());
}

TEST(HardLinks, ASuccessorHasTheInodesAndTheLowerNames) {
  HardLinks links;
  const auto node = file(2), successor = file(3);
  Node dir(4, ino_t{14}, S_IFDIR);
  links.insert(*node, {1, 13});
  EXPECT_TRUE(links.add_alias(*node, dir, Name("other")));
  EXPECT_FALSE(links.add_alias(*node, dir, Name("other")));
  links.move(*node, *successor);
  EXPECT_EQ(links.find_and_count({1, 13}), successor.get());
  EXPECT_TRUE(links.erase_if(*node, gone).empty());
  EXPECT_EQ(links.find_and_count({1, 13}), successor.get());
  EXPECT_EQ(links.take_aliases(*successor).size(), 1U);
}

TEST(HardLinks, ANodeInUseStays) {
  HardLinks links;
  const auto node = file(2);
  links.insert(*node, {1, 13});
  links.erase_if(*node, [] { return false; });
  EXPECT_EQ(links.find_and_count({1, 13}), node.get());
}

}  // namespace
}  // namespace layerfs::tree
