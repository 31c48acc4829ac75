#include "fs/layer/whiteouts.h"

#include <fcntl.h>

#include <filesystem>
#include <string>

#include <gtest/gtest.h>

#include "fs/sys/unique_fd.h"
#include "tests/support/command.h"
#include "tests/support/temp_dir.h"

namespace layerfs::layer {
namespace {

// A graph root of containers-storage, with the layers "image", which was unpacked, and "container".
class StoredLayers : public testing::Test {
 protected:
  StoredLayers() {
    run("mkdir -p overlay/l overlay-layers; for id in image container; do mkdir -p "
        "overlay/$id/diff overlay/$id/work; echo -n SHORT-$id >overlay/$id/link; ln -s "
        "../$id/diff overlay/l/SHORT-$id; done; touch overlay-layers/image.tar-split.gz; "
        "mkdir -p overlay/container/work/work");
  }

  void run(const std::string& script) const {
    const test::Ran ran = test::shell(script, {.directory = dir_.path()});
    ASSERT_TRUE(ran.ok()) << ran.err;
  }
  sys::UniqueFd open(const std::string& path) const {
    return sys::UniqueFd(::open((dir_ / path).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  }
  Whiteouts of_lower(const std::string& path) const {
    return find_whiteouts(open(path).get()).value();
  }
  Whiteouts of_upper(const std::string& path) const {
    return find_upper_whiteouts(open(path).get()).value();
  }

  const test::TempDir dir_;
};

TEST_F(StoredLayers, HaveThoseOfAufsWhereAnArchiveWasUnpacked) {
  EXPECT_EQ(of_lower("overlay/l/SHORT-image"), Whiteouts::kAufs);
  EXPECT_EQ(of_lower("overlay/image/diff"), Whiteouts::kAufs);
  EXPECT_EQ(of_upper("overlay/image/diff"), Whiteouts::kAufs);
  // As older versions of podman leave it, which compare the layer with another through a mount.
  run("mkdir overlay/image/work/work");
  EXPECT_EQ(of_lower("overlay/image/diff"), Whiteouts::kAufs);
  // Of an archive that came in pieces other things may be kept.
  run("rm overlay-layers/image.tar-split.gz; mkdir overlay-layers/image");
  EXPECT_EQ(of_lower("overlay/image/diff"), Whiteouts::kAufs);
}

TEST_F(StoredLayers, AreTheContainersOwnWhereAMountHasWritten) {
  EXPECT_EQ(of_lower("overlay/container/diff"), Whiteouts::kOverlay);
  EXPECT_EQ(of_lower("overlay/l/SHORT-container"), Whiteouts::kOverlay);
  EXPECT_EQ(of_upper("overlay/container/diff"), Whiteouts::kOverlay);
}

// The records may lie in another graph root: of images that have a store of their own.
TEST_F(StoredLayers, WithoutRecordsAreUnpackedUnlessAMountHasWritten) {
  run("rm -r overlay-layers/*");
  EXPECT_EQ(of_lower("overlay/image/diff"), Whiteouts::kAufs);
  EXPECT_EQ(of_lower("overlay/container/diff"), Whiteouts::kOverlay);
}

TEST_F(StoredLayers, AreUppersOfANewContainerBeforeTheFirstMount) {
  run("rmdir overlay/container/work/work");
  EXPECT_EQ(of_upper("overlay/container/diff"), Whiteouts::kOverlay);
}

TEST_F(StoredLayers, AreKnownByWhatLiesBesideThemOnly) {
  run("mkdir -p plain/diff overlay/image/diff/inner/diff; echo -n SHORT-image "
      ">overlay/image/diff/inner/link; mkdir overlay/image/other");
  EXPECT_EQ(of_lower("plain/diff"), Whiteouts::kOverlay);
  EXPECT_EQ(of_lower("overlay/image/other"), Whiteouts::kOverlay);
  EXPECT_EQ(of_lower("overlay/image/diff/inner/diff"), Whiteouts::kOverlay);
  // A layer of another store that is known here: its own directory counts.
  run("mkdir -p overlay/far; ln -s ../../plain/diff overlay/far/diff; echo -n SHORT-far "
      ">overlay/far/link; ln -s ../far/diff overlay/l/SHORT-far");
  EXPECT_EQ(of_lower("overlay/l/SHORT-far"), Whiteouts::kOverlay);
}

TEST_F(StoredLayers, AreNoneWhereOthersMayMakeTheirRecords) {
  run("chmod 1777 overlay/image");
  EXPECT_EQ(of_lower("overlay/image/diff"), Whiteouts::kOverlay);
  run("chmod 755 overlay/image; rm overlay/image/link; mkfifo overlay/image/link");
  EXPECT_EQ(of_lower("overlay/image/diff"), Whiteouts::kOverlay);
  for (const std::string link : {"", "SHORT-container", "../l/SHORT-image", "absent"}) {
    run("rm overlay/image/link; echo -n '" + link + "' >overlay/image/link");
    EXPECT_EQ(of_lower("overlay/image/diff"), Whiteouts::kOverlay) << link;
  }
}

TEST(Whiteouts, AreNotGuessedWhereALookFails) {
  EXPECT_EQ(find_whiteouts(-1).error(), Errno(EBADF));
  EXPECT_EQ(find_upper_whiteouts(-1).error(), Errno(EBADF));
}

}  // namespace
}  // namespace layerfs::layer
