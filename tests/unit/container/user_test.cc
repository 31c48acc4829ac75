#include "tools/container/user.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace layerfs::tools {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const UserFiles kFiles = {.passwd =
                              "root:x:0:0:root:/root:/bin/bash\n"
                              "daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n"
                              "app:x:1000:1001:,,,:/home/app:/bin/sh\n"
                              "1002:x:7:8::/named-like-a-number:/bin/sh\n"
                              "homeless:x:9:9:::\n",
                          .group =
                              "root:x:0:\n"
                              "disk:x:6:root,app\n"
                              "app:x:1001:\n"
                              "video:x:44:app\n"
                              "2000:x:12:\n"};

ContainerUser found(const std::string& wanted, const UserFiles& files = kFiles) {
  const auto user = find_user(wanted, files);
  EXPECT_TRUE(user) << user.error().sentence;
  return user.value_or(ContainerUser{99, 99, {}, "none"});
}

std::string refused(const std::string& wanted) {
  const auto user = find_user(wanted, kFiles);
  EXPECT_FALSE(user) << wanted;
  return user ? "" : user.error().sentence;
}

TEST(FindUser, NothingIsRootWithItsGroups) {
  const ContainerUser user = found("");
  EXPECT_EQ(user.uid, 0U);
  EXPECT_EQ(user.gid, 0U);
  EXPECT_EQ(user.home, "/root");
  EXPECT_THAT(user.groups, ElementsAre(6));
}

TEST(FindUser, ANameHasItsIdsGroupsAndHome) {
  const ContainerUser user = found("app");
  EXPECT_EQ(user.uid, 1000U);
  EXPECT_EQ(user.gid, 1001U);
  EXPECT_EQ(user.home, "/home/app");
  EXPECT_THAT(user.groups, ElementsAre(6, 44));
}

TEST(FindUser, ANumberIsLookedUpToo) {
  const ContainerUser user = found("1000");
  EXPECT_EQ(user.gid, 1001U);
  EXPECT_EQ(user.home, "/home/app");
  EXPECT_THAT(user.groups, ElementsAre(6, 44));
}

TEST(FindUser, ANumberNeedsNoEntry) {
  const ContainerUser user = found("4711");
  EXPECT_EQ(user.uid, 4711U);
  EXPECT_EQ(user.gid, 0U);
  EXPECT_EQ(user.home, "/");
  EXPECT_THAT(user.groups, IsEmpty());
}

TEST(FindUser, AGroupThatIsGivenIsTheOnlyOne) {
  EXPECT_EQ(found("app:video").gid, 44U);
  EXPECT_THAT(found("app:video").groups, IsEmpty());
  EXPECT_EQ(found("app:4712").gid, 4712U);
  EXPECT_EQ(found("4711:4712").gid, 4712U);
  EXPECT_EQ(found(":video").uid, 0U);
  EXPECT_EQ(found(":video").gid, 44U);
}

TEST(FindUser, AnEmptyGroupIsNone) {
  EXPECT_EQ(found("app:").gid, 1001U);
  EXPECT_THAT(found("app:").groups, ElementsAre(6, 44));
}

TEST(FindUser, ANameWinsOverANumberThatLooksLikeIt) {
  EXPECT_EQ(found("1002").uid, 7U);
  EXPECT_EQ(found("app:2000").gid, 12U);
}

TEST(FindUser, AnEmptyHomeIsTheRootDirectory) { EXPECT_EQ(found("homeless").home, "/"); }

TEST(FindUser, AnUnknownNameIsRefused) {
  EXPECT_THAT(refused("nobody"), HasSubstr("knows no user 'nobody' (/etc/passwd)"));
  EXPECT_THAT(refused("app:nogroup"), HasSubstr("knows no group 'nogroup' (/etc/group)"));
  EXPECT_THAT(refused("-1"), HasSubstr("knows no user"));
}

TEST(FindUser, IdsThatRuntimesDoNotTakeAreRefused) {
  EXPECT_THAT(refused("2147483648"), HasSubstr("too large"));
  EXPECT_THAT(refused("99999999999999999999"), HasSubstr("too large"));
  EXPECT_EQ(found("2147483647").uid, 2147483647U);
}

TEST(FindUser, LinesThatMakeNoSenseArePassedOver) {
  const UserFiles files = {.passwd =
                               "\n#comment\n+::::::\nshort:x:5\nbad:x:minus:1::/:\n:::::\n"
                               "good:x:5:6::/h:/bin/sh",
                           .group = "x\ngood:x:notnumber:good\nmore:x:7:good"};
  const ContainerUser user = found("good", files);
  EXPECT_EQ(user.uid, 5U);
  EXPECT_THAT(user.groups, ElementsAre(7));
}

TEST(FindUser, WithoutFilesNumbersWork) {
  EXPECT_EQ(found("", {}).uid, 0U);
  EXPECT_EQ(found("5:6", {}).gid, 6U);
  EXPECT_FALSE(find_user("root", {}));
}

}  // namespace
}  // namespace layerfs::tools
