// Names of the AUFS dialect, `.wh.NAME`, which users may make: over the kernel's overlayfs and over
// layerfs they are names, above and below. And layers that were unpacked in that dialect.
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/mount/either_union.h"

namespace layerfs::test {
namespace {

using ::testing::HasSubstr;

const std::string kAlice = "setpriv --reuid 1000 --regid 1000 --clear-groups ";

class AufsNames : public EitherUnion {
 protected:
  // A layer that root wrote: alice may add names, and not remove others'.
  AufsNames() {
    out("",
        "chmod 755 .; mkdir low; cd low; mkdir -m 1777 sticky root-dir; echo root > "
        "sticky/root-file; echo root > root-dir/kept; mkdir sticky/dir; echo r > sticky/dir/x");
  }

  // What alice made in the upper of a mount is a layer now.
  void mount_over_what_alice_made(const std::string& script) {
    mount(writable({dir_ / "low"}));
    out("mnt", kAlice + "sh -ec '" + script + "'");
    unmount();
    out(disk_, "cp -a upper over; rm -r upper work; mkdir upper work");
  }

  std::string shown() const { return out("mnt", "find . -mindepth 1 | sort"); }
};

INSTANTIATE_TEST_SUITE_P(Of, AufsNames, testing::Values("overlay", "layerfs"),
                         [](const auto& tested) { return std::string(tested.param); });

constexpr const char* kHidesAll =
    "touch sticky/.wh.root-file root-dir/.wh..wh..opq; mkdir sticky/.wh.dir; ln -s x "
    ".wh.sticky 2>/dev/null || true; touch sticky/.wh..wh.plnk sticky/.wh.";
constexpr const char* kNothingHidden =
    "./root-dir\n./root-dir/.wh..wh..opq\n./root-dir/kept\n./sticky\n./sticky/.wh.\n"
    "./sticky/.wh..wh.plnk\n./sticky/.wh.dir\n./sticky/.wh.root-file\n./sticky/dir\n"
    "./sticky/dir/x\n./sticky/root-file\n";

TEST_P(AufsNames, HideNothingOnceTheirUpperIsALayer) {
  mount_over_what_alice_made(kHidesAll);
  mount({.lowers = {disk_ / "over", dir_ / "low"}, .options = ""});
  EXPECT_EQ(shown(), kNothingHidden);
  EXPECT_EQ(cat("sticky/root-file"), "root\n");
  EXPECT_EQ(cat("root-dir/kept"), "root\n");
}

TEST_P(AufsNames, HideNothingInTheirOwnUpper) {
  mount(writable({dir_ / "low"}));
  out("mnt", kAlice + "sh -ec '" + kHidesAll + "'");
  EXPECT_EQ(shown(), kNothingHidden);
  remount(writable({dir_ / "low"}));
  EXPECT_EQ(shown(), kNothingHidden);
}

// Copied up, renamed, linked, removed and made again, in a layer that has them.
TEST_P(AufsNames, AreNamesLikeOthersInALayer) {
  mount_over_what_alice_made(kHidesAll);
  const Layers layers = writable({disk_ / "over", dir_ / "low"});
  mount(layers);
  out("mnt",
      "cd sticky; echo more >> .wh.root-file; chmod 600 .wh..wh.plnk; touch .wh.dir/in; mv .wh. "
      ".wh.moved; ln .wh.root-file .wh.link; mv root-file .wh.away; touch .wh.x; rm .wh.x; "
      "mknod .wh.dev c 1 3; ln -s a .wh.symlink");
  const std::string expected = out("mnt/sticky", "find . -printf '%p %y %m %n\\n' | sort");
  EXPECT_THAT(expected, HasSubstr("./.wh.root-file f 644 2\n"));
  EXPECT_EQ(cat("sticky/.wh.root-file"), "more\n");
  EXPECT_EQ(cat("sticky/.wh.link"), "more\n");
  EXPECT_EQ(cat("sticky/.wh.away"), "root\n");
  remount(layers);
  EXPECT_EQ(out("mnt/sticky", "find . -printf '%p %y %m %n\\n' | sort"), expected);
  out("mnt", "rm -r sticky/.wh.dir sticky/.wh.root-file; mkdir sticky/.wh.root-file");
  EXPECT_EQ(out("mnt/sticky", "ls -A"),
            ".wh..wh.plnk\n.wh.away\n.wh.dev\n.wh.link\n.wh.moved\n.wh.root-file\n.wh.symlink\n"
            "dir\n");
}

// Where layerfs alone has an answer.
class AufsLayers : public AufsNames {
 protected:
  AufsLayers() {
    out("",
        "mkdir aufs; cd aufs; mkdir sticky root-dir; touch sticky/.wh.root-file "
        "root-dir/.wh..wh..opq root-dir/new .wh.absent");
  }

  std::string index(const std::string& layer, const std::string& more = "") {
    const std::string file = dir_ / (layer + ".index");
    out("", layerfs_program() + " index " + more + " " + layer + " " + file);
    return file;
  }
  Layers both(const std::string& options) const {
    return {.lowers = {dir_ / "aufs", dir_ / "low"}, .options = options};
  }
};

INSTANTIATE_TEST_SUITE_P(Of, AufsLayers, testing::Values("layerfs"));

constexpr const char* kWhitedOut =
    "./root-dir\n./root-dir/new\n./sticky\n./sticky/dir\n./sticky/dir/x\n";
constexpr const char* kAllNames =
    "./.wh.absent\n./root-dir\n./root-dir/.wh..wh..opq\n./root-dir/kept\n./root-dir/new\n./sticky\n"
    "./sticky/.wh.root-file\n./sticky/dir\n./sticky/dir/x\n./sticky/root-file\n";

TEST_P(AufsLayers, AreReadAsTheMountOptionSays) {
  const std::pair<const char*, const char*> cases[] = {{"whiteouts=aufs", kWhitedOut},
                                                       {"whiteouts=aufs:overlay", kWhitedOut},
                                                       {"whiteouts=aufs:auto", kWhitedOut},
                                                       {"whiteouts=overlay:aufs", kAllNames},
                                                       {"whiteouts=overlay", kAllNames},
                                                       {"whiteouts=auto", kAllNames},
                                                       {"", kAllNames}};
  for (const auto& [options, expected] : cases) {
    mount(both(options));
    EXPECT_EQ(shown(), expected) << options;
    unmount();
  }
}

TEST_P(AufsLayers, HaveNoNamesThatAreWhiteouts) {
  mount(both("whiteouts=aufs"));
  EXPECT_FALSE(in("mnt", "stat sticky/.wh.root-file").ok());
  EXPECT_FALSE(in("mnt", "stat root-dir/.wh..wh..opq").ok());
  unmount();
  const Layers layers = writable({dir_ / "aufs", dir_ / "low"});
  mount({layers.lowers, layers.upper, layers.work, "whiteouts=aufs"});
  // What is made above is a name: the upper is not of that dialect.
  out("mnt", "echo x > sticky/.wh.root-file; echo y > sticky/.wh.dir; mv sticky/dir sticky/moved");
  EXPECT_EQ(out("mnt/sticky", "ls -A; cat .wh.root-file moved/x"),
            ".wh.dir\n.wh.root-file\nmoved\nx\nr\n");
}

TEST_P(AufsLayers, HaveIndexesThatSayHowTheyWereRead) {
  const std::string named = index("aufs"), whited = index("low");
  mount(both("layerindex=" + named + ":" + whited));
  EXPECT_EQ(shown(), kAllNames);
  unmount();
  mount(both("whiteouts=aufs,layerindex=" + named));
  EXPECT_EQ(shown(), kWhitedOut) << "an index of the other dialect was used";
  unmount();
  const std::string read = index("aufs", "--whiteouts aufs");
  mount(both("whiteouts=aufs,layerindex=" + read));
  EXPECT_EQ(shown(), kWhitedOut);
  unmount();
  mount(both("layerindex=" + read));
  EXPECT_EQ(shown(), kAllNames) << "an index of the other dialect was used";
}

TEST_P(AufsLayers, AreNotGuessedFromOptionsThatMakeNoSense) {
  EXPECT_THAT(try_mount(both("whiteouts=aufs:aufs:aufs")).err,
              HasSubstr("whiteouts needs one word for all lower directories, or one for each"));
  EXPECT_THAT(try_mount(both("whiteouts=unionfs")).err,
              HasSubstr("whiteouts takes auto, overlay or aufs"));
}

// As podman mounts: a layer that was unpacked, by its short name, below a container's own.
TEST_P(AufsLayers, OfContainersStorageAreKnownByTheirRecords) {
  out("",
      "mkdir -p overlay/l overlay-layers; for id in base image box; do mkdir -p overlay/$id/work; "
      "echo -n L$id >overlay/$id/link; ln -s ../$id/diff overlay/l/L$id; done; mv low "
      "overlay/base/diff; mv aufs overlay/image/diff; touch "
      "overlay-layers/base.tar-split.gz overlay-layers/image.tar-split.gz; mkdir overlay/box/diff");
  const std::filesystem::path overlay = dir_ / "overlay";
  const std::string lowers =
      "lowerdir=" + (overlay / "l/Limage").string() + ":" + (overlay / "l/Lbase").string();
  const std::string box = ",upperdir=" + (overlay / "box/diff").string() +
                          ",workdir=" + (overlay / "box/work").string();
  const auto helper = [&](const std::string& options) {
    const Ran ran = run({layerfs_program(), "-o", options, dir_ / "mnt"});
    EXPECT_TRUE(ran.ok()) << ran.err;
  };
  helper(lowers + box);
  EXPECT_EQ(shown(), kWhitedOut);
  out("mnt", "chmod 1777 root-dir; " + kAlice + "touch root-dir/.wh.new");
  unmount();
  // To compare it with its image, read-only.
  helper("lowerdir=" + (overlay / "box/diff").string() + ":" + lowers.substr(9));
  EXPECT_EQ(out("mnt/root-dir", "ls -A"), ".wh.new\nnew\n");
  unmount();
  // Older versions of podman do so to an image's layer by a mount that could be written.
  helper("lowerdir=" + (overlay / "l/Lbase").string() + ",upperdir=" +
         (overlay / "image/diff").string() + ",workdir=" + (overlay / "image/work").string());
  EXPECT_EQ(shown(), kWhitedOut);
  EXPECT_THAT(in("mnt", "touch new").err, HasSubstr("Read-only file system"));
}

}  // namespace
}  // namespace layerfs::test
