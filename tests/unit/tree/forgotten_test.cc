#include "fs/tree/forgotten.h"

#include <gtest/gtest.h>

namespace layerfs::tree {
namespace {

ForgottenNode node(NodeId id) { return {id, id + 1000, id / 10 + 1, id * 7}; }

TEST(Forgotten, IsFoundByIdAndTakenByInode) {
  Forgotten forgotten;
  for (NodeId id = 2; id < 5000; ++id) forgotten.remember(node(id));
  EXPECT_EQ(forgotten.size(), 4998U);
  for (NodeId id = 2; id < 5000; ++id) {
    const auto found = forgotten.find(id);
    ASSERT_TRUE(found) << id;
    EXPECT_EQ(found->parent, id / 10 + 1);
    EXPECT_EQ(found->key, id * 7);
    EXPECT_EQ(forgotten.take(node(id), false), id);
    EXPECT_FALSE(forgotten.find(id)) << id;
    EXPECT_FALSE(forgotten.take(node(id), true)) << id;
  }
  EXPECT_EQ(forgotten.size(), 0U);
}

TEST(Forgotten, IsTakenAtItsPlaceUnlessAnyWillDo) {
  Forgotten forgotten;
  forgotten.remember(node(5));
  ForgottenNode elsewhere = node(5);
  elsewhere.key = 1;
  EXPECT_FALSE(forgotten.take(elsewhere, false));
  EXPECT_EQ(forgotten.take(elsewhere, true), 5U);
}

TEST(Forgotten, KeepsAHandleOfWhatHasNoPlace) {
  Forgotten forgotten;
  const sys::FileHandle handle{1, "12345678"};
  forgotten.remember(5, 1005, handle);
  EXPECT_EQ(forgotten.handle(5), handle);
  EXPECT_EQ(forgotten.take(node(5), false), 5U);
  EXPECT_FALSE(forgotten.handle(5));
}

TEST(Forgotten, KeepsOneIdOfAnInode) {
  Forgotten forgotten;
  forgotten.remember(node(5));
  ForgottenNode again = node(5);
  again.id = 6;
  forgotten.remember(again);
  EXPECT_FALSE(forgotten.find(5));
  EXPECT_EQ(forgotten.take(again, false), 6U);
  EXPECT_EQ(forgotten.size(), 0U);
}

TEST(Forgotten, LosesSomeWhereThereAreTooMany) {
  Forgotten forgotten(100);
  for (NodeId id = 2; id < 1000; ++id) forgotten.remember(node(id));
  EXPECT_EQ(forgotten.size(), 100U);
  for (NodeId id = 900; id < 1000; ++id) EXPECT_TRUE(forgotten.find(id)) << id;
  for (NodeId id = 2; id < 1000; ++id) forgotten.erase(node(id).ino);
  EXPECT_EQ(forgotten.size(), 0U);
  forgotten.remember(node(7));
  EXPECT_TRUE(forgotten.find(7));
}

}  // namespace
}  // namespace layerfs::tree
