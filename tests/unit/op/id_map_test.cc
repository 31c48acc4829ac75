#include "fs/op/id_map.h"

#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>

#include <string>

#include <gtest/gtest.h>

namespace layerfs::op {
namespace {

std::string acl_of(std::uint16_t tag, std::uint32_t id) {
  const posix_acl_xattr_header header = {POSIX_ACL_XATTR_VERSION};
  const posix_acl_xattr_entry entry = {tag, 7, id};
  return std::string(reinterpret_cast<const char*>(&header), sizeof header) +
         std::string(reinterpret_cast<const char*>(&entry), sizeof entry);
}

TEST(IdMap, OfNothingShowsEachIdAsItIs) {
  const IdMap map;
  EXPECT_TRUE(map.is_identity());
  EXPECT_EQ(map.shown(4294967294U), 4294967294U);
  EXPECT_EQ(map.stored(5), 5U);
}

TEST(IdMap, MapsBothWays) {
  const IdMap map({{0, 1, 1000}, {1000, 0, 1}, {2000, 4294967000U, 200}});
  EXPECT_EQ(map.shown(0), 1U);
  EXPECT_EQ(map.shown(1000), 0U);
  EXPECT_EQ(map.shown(2199), 4294967199U);
  EXPECT_EQ(map.stored(0), 1000U);
  EXPECT_EQ(map.stored(1000), 999U);
  EXPECT_EQ(map.stored(4294967199U), 2199U);
}

TEST(IdMap, HasNoStoredIdForWhatIsOutside) {
  const IdMap map({{0, 100, 10}});
  EXPECT_EQ(map.shown(10), IdMap::kOverflow);
  EXPECT_FALSE(map.stored(99));
  EXPECT_FALSE(map.stored(110));
  EXPECT_FALSE(map.stored(0));
}

TEST(IdMap, HasAnIdForThoseWhomItDoesNotKnow) {
  const sys::IdSpans all = {{0, 4294967295U}};
  EXPECT_EQ(IdMap({{0, 1, 1000}}).nobody(all), IdMap::kOverflow);
  // Where the layers' nobody is somebody of the mount, the first id after the mapping's.
  EXPECT_EQ(IdMap({{0, 1, 65536}}).nobody(all), 65536U);
  EXPECT_EQ(IdMap({{IdMap::kOverflow, 0, 1}, {65535, 1, 1}}).nobody(all), 65536U);
  EXPECT_EQ(IdMap({{0, 1, 1000}}).nobody({{0, 1001}}), 1000U);
  EXPECT_FALSE(IdMap({{0, 1, 1000}}).nobody({{0, 1000}}));
  EXPECT_FALSE(IdMap({{0, 1, 4294967295U}}).nobody(all));
}

TEST(IdMap, TakesSetuidFromWhatBelongsToNobody) {
  const IdMaps maps = {IdMap({{0, 1, 1000}}), IdMap({{0, 1, 1000}})};
  const auto mode_of = [&](mode_t mode, uid_t uid, gid_t gid) {
    struct stat st = {};
    st.st_mode = mode;
    st.st_uid = uid;
    st.st_gid = gid;
    return maps.shown(st).st_mode;
  };
  EXPECT_EQ(mode_of(S_IFREG | 06755, 0, 999), S_IFREG | 06755U);
  EXPECT_EQ(mode_of(S_IFREG | 06755, 1000, 0), S_IFREG | 02755U);
  EXPECT_EQ(mode_of(S_IFREG | 06755, 0, 1000), S_IFREG | 04755U);
  EXPECT_EQ(mode_of(S_IFDIR | 02755, 1000, 1000), S_IFDIR | 02755U);
}

TEST(IdMap, SquashesToOneId) {
  const IdMap map = IdMap::squash(3);
  EXPECT_FALSE(map.is_identity());
  EXPECT_EQ(map.shown(0), 3U);
  EXPECT_EQ(map.shown(77), 3U);
}

TEST(IdMap, MapsTheNamedEntriesOfAnAcl) {
  const IdMaps maps = {IdMap({{0, 1000, 10}}), IdMap({{0, 2000, 10}})};
  EXPECT_EQ(map_acl(maps, acl_of(ACL_USER, 1), IdDirection::kToShown), acl_of(ACL_USER, 1001));
  EXPECT_EQ(map_acl(maps, acl_of(ACL_GROUP, 2002), IdDirection::kToStored), acl_of(ACL_GROUP, 2));
  EXPECT_EQ(map_acl(maps, acl_of(ACL_MASK, 1), IdDirection::kToShown), acl_of(ACL_MASK, 1));
  // The header is what remains.
  EXPECT_EQ(map_acl(maps, acl_of(ACL_USER, 10), IdDirection::kToShown),
            acl_of(ACL_USER, 10).substr(0, 4));
  EXPECT_FALSE(map_acl(maps, acl_of(ACL_USER, 1), IdDirection::kToStored));
  EXPECT_FALSE(map_acl(maps, "short", IdDirection::kToShown));
}

}  // namespace
}  // namespace layerfs::op
