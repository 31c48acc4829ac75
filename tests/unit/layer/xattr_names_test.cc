#include "fs/layer/xattr_names.h"

#include <gtest/gtest.h>

namespace layerfs::layer {
namespace {

TEST(XattrNames, MarksOfTheMountAreEscaped) {
  const XattrNames names(false);
  EXPECT_TRUE(names.is_private("trusted.overlay.opaque"));
  EXPECT_EQ(*names.on_disk("trusted.overlay.opaque"), "trusted.overlay.overlay.opaque");
  EXPECT_FALSE(names.is_private("trusted.overlay.overlay.opaque"));
  EXPECT_EQ(names.visible("trusted.overlay.overlay.opaque"), "trusted.overlay.opaque");
  EXPECT_EQ(*names.on_disk("user.overlay.opaque"), "user.overlay.opaque");
}

TEST(XattrNames, RecordsAreEscapedInEveryMountHoweverOftenTheyWere) {
  for (const bool user_xattr : {false, true}) {
    const XattrNames names(user_xattr);
    for (const std::string prefix :
         {"user.containers.", "user.fuseoverlayfs.", "security.fuseoverlayfs."}) {
      const std::string once = prefix + "overlay.override_stat";
      const std::string twice = prefix + "overlay.overlay.override_stat";
      EXPECT_TRUE(names.is_private(prefix + "override_stat"));
      EXPECT_EQ(*names.on_disk(prefix + "override_stat"), once);
      EXPECT_EQ(*names.on_disk(once), twice);
      EXPECT_FALSE(names.is_private(once));
      EXPECT_EQ(names.visible(once), prefix + "override_stat");
      EXPECT_EQ(names.visible(twice), once);
    }
  }
}

TEST(XattrNames, OthersAreWhatTheyAre) {
  const XattrNames names(false);
  for (const char* name : {"user.containers.other", "user.containers.override_stat2",
                           "user.containers.x.override_stat", "user.overlay", "security.ima"}) {
    EXPECT_FALSE(names.is_private(name)) << name;
    EXPECT_EQ(*names.on_disk(name), name);
    EXPECT_EQ(names.visible(name), name);
  }
}

}  // namespace
}  // namespace layerfs::layer
