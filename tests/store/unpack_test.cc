// What becomes of the entries of a layer.
#include <sys/sysmacros.h>

#include "tests/store/store_fixture.h"

namespace layerfs::test {
namespace {

using ::testing::HasSubstr;

class Unpack : public StoreTest {
 protected:
  void unpack(const std::vector<TarEntry>& entries) {
    const CommandResult result = import_tar(entries);
    ASSERT_EQ(result.status, 0) << result.err;
    ASSERT_EQ(result.err, "");
  }
};

TEST_F(Unpack, KeepsModeOwnerAndTime) {
  TarEntry file = tar_file("f", "data", 06751);
  file.uid = 1234;
  file.gid = 5678;
  TarEntry directory = tar_dir("d", 01777);
  directory.uid = 7;
  unpack({directory, file, tar_file("d/in", "")});
  const struct stat f = status_of(tree() / "f");
  EXPECT_EQ(f.st_mode, S_IFREG | 06751U);
  EXPECT_EQ(f.st_uid, 1234U);
  EXPECT_EQ(f.st_gid, 5678U);
  EXPECT_EQ(f.st_mtime, 1'000'000'000);
  const struct stat d = status_of(tree() / "d");
  EXPECT_EQ(d.st_mode, S_IFDIR | 01777U);
  EXPECT_EQ(d.st_uid, 7U);
  EXPECT_EQ(d.st_mtime, 1'000'000'000);
}

TEST_F(Unpack, KeepsTimesBeforeTheEpochAndFractions) {
  TarEntry early = tar_file("early");
  early.mtime = -86'400;
  TarEntry fraction = tar_file("fraction");
  fraction.pax = {{"mtime", "-1.5"}};
  unpack({early, fraction});
  EXPECT_EQ(status_of(tree() / "early").st_mtime, -86'400);
  EXPECT_EQ(status_of(tree() / "fraction").st_mtim.tv_sec, -2);
  EXPECT_EQ(status_of(tree() / "fraction").st_mtim.tv_nsec, 500'000'000);
}

TEST_F(Unpack, KeepsCapabilitiesAndBinaryXattrs) {
  const std::string capability("\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
  const std::string binary("a\0\n=\xff", 5);
  TarEntry file = tar_file("ping", "binary", 0755);
  file.uid = 3;
  file.pax = {{"SCHILY.xattr.security.capability", capability}, {"SCHILY.xattr.user.bin", binary}};
  TarEntry directory = tar_dir("d");
  directory.pax = {{"SCHILY.xattr.user.dir", "value"}};
  unpack({file, directory});
  EXPECT_EQ(xattr_of(tree() / "ping", "security.capability"), capability);
  EXPECT_EQ(xattr_of(tree() / "ping", "user.bin"), binary);
  EXPECT_EQ(xattr_of(tree() / "d", "user.dir"), "value");
}

TEST_F(Unpack, EscapesXattrsThatWouldBeReadAsMarks) {
  TarEntry directory = tar_dir("d");
  directory.pax = {{"SCHILY.xattr.trusted.overlay.opaque", "y"},
                   {"SCHILY.xattr.trusted.overlay.redirect", "/etc"}};
  unpack({directory});
  EXPECT_FALSE(is_opaque(tree() / "d"));
  EXPECT_EQ(xattr_of(tree() / "d", "trusted.overlay.redirect"), "(none)");
  EXPECT_EQ(xattr_of(tree() / "d", "trusted.overlay.overlay.redirect"), "/etc");
}

TEST_F(Unpack, KeepsNamesByteForByte) {
  const std::vector<std::string> names = {
      "new\nline",           "bad\xff\xfeutf8",
      "composed-\xc3\xa9",   "decomposed-e\xcc\x81",
      std::string(255, 'l'), "deep/" + std::string(150, 'a') + "/" + std::string(200, 'b')};
  std::vector<TarEntry> entries;
  for (const std::string& name : names) entries.push_back(tar_file(name, name));
  for (TarEntry& entry : entries) entry.pax = {{"path", entry.name}};
  unpack(entries);
  for (const std::string& name : names) EXPECT_EQ(read_file(tree() / name), name);
}

TEST_F(Unpack, MakesHardLinksOneFile) {
  unpack({tar_file("a", "x"), tar_dir("d"), tar_hard_link("d/b", "a"), tar_hard_link("c", "/d/b")});
  EXPECT_EQ(status_of(tree() / "a").st_nlink, 3U);
  EXPECT_EQ(status_of(tree() / "a").st_ino, status_of(tree() / "c").st_ino);
}

TEST_F(Unpack, MakesSymlinksFifosAndDevices) {
  TarEntry fifo{"fifo", '6'};
  TarEntry null{"null", '3'};
  null.major = 1;
  null.minor = 3;
  null.mode = 0666;
  TarEntry disk{"disk", '4'};
  disk.major = 8;
  TarEntry link = tar_symlink("link", "/nowhere/" + std::string(200, 'x'));
  link.uid = 9;
  unpack({fifo, null, disk, link});
  EXPECT_TRUE(S_ISFIFO(status_of(tree() / "fifo").st_mode));
  EXPECT_EQ(status_of(tree() / "null").st_mode, S_IFCHR | 0666U);
  EXPECT_EQ(status_of(tree() / "null").st_rdev, makedev(1, 3));
  EXPECT_EQ(status_of(tree() / "disk").st_rdev, makedev(8, 0));
  EXPECT_EQ(std::filesystem::read_symlink(tree() / "link"), link.link);
  EXPECT_EQ(status_of(tree() / "link").st_uid, 9U);
  EXPECT_EQ(status_of(tree() / "link").st_mtime, 1'000'000'000);
}

TEST_F(Unpack, LeavesLongRunsOfZerosAsHoles) {
  const std::string data = "head" + std::string(8 << 20, '\0') + "tail";
  unpack({tar_file("sparse", data)});
  EXPECT_EQ(read_file(tree() / "sparse"), data);
  EXPECT_LT(status_of(tree() / "sparse").st_blocks * 512, 1 << 20);
}

TEST_F(Unpack, AcceptsAnArchiveWithoutItsEnd) {
  std::string tar = make_unended_tar({tar_dir("d"), tar_file("d/f", "only data, no padding")});
  tar.resize(2 * 512 + 21);
  EXPECT_EQ(import_layers("image", {{tar, LayerForm::kGzip}}).err, "");
  EXPECT_EQ(read_file(tree() / "d/f"), "only data, no padding");
}

TEST_F(Unpack, AcceptsAnEmptyLayer) {
  EXPECT_EQ(import_layers("image", {{make_tar({})}, {""}}).err, "");
  EXPECT_EQ(trees("image").size(), 2U);
}

TEST_F(Unpack, LetsTheLastEntryOfANameCount) {
  unpack({tar_file("x", "file"), tar_dir("x"), tar_file("x/in", "1"), tar_symlink("x", "target"),
          tar_file("x", "last"), tar_symlink("y", "x"), tar_dir("y"), tar_file("y/in", "2")});
  EXPECT_EQ(read_file(tree() / "x"), "last");
  EXPECT_EQ(read_file(tree() / "y/in"), "2");
}

TEST_F(Unpack, ChangesTheAttributesOfADirectoryThatIsThere) {
  unpack({tar_dir("d", 0700), tar_file("d/in"), tar_dir("d", 0711)});
  EXPECT_EQ(status_of(tree() / "d").st_mode, S_IFDIR | 0711U);
  EXPECT_TRUE(std::filesystem::exists(tree() / "d/in"));
}

TEST_F(Unpack, DoesNotWriteThroughANameThatAHardLinkShares) {
  unpack({tar_file("a", "first"), tar_hard_link("b", "a"), tar_file("b", "second")});
  EXPECT_EQ(read_file(tree() / "a"), "first");
  EXPECT_EQ(read_file(tree() / "b"), "second");
}

TEST_F(Unpack, FollowsASymlinkToADirectoryOfTheLayer) {
  unpack(
      {tar_dir("usr"), tar_dir("usr/lib"), tar_symlink("lib", "usr/lib"), tar_file("lib/x", "1")});
  EXPECT_EQ(read_file(tree() / "usr/lib/x"), "1");
}

TEST_F(Unpack, TurnsWhiteoutsIntoThoseOfOverlayfs) {
  unpack({tar_dir("d"), tar_whiteout("d", "gone"), tar_whiteout("", "top")});
  EXPECT_TRUE(is_whiteout(tree() / "d/gone"));
  EXPECT_TRUE(is_whiteout(tree() / "top"));
  EXPECT_FALSE(std::filesystem::exists(tree() / "d/.wh.gone"));
}

TEST_F(Unpack, TakesAnOpaqueMarkerBeforeItsDirectory) {
  unpack(
      {tar_opaque("d"), tar_file("d/in", "x"), tar_dir("d", 0750), tar_dir("e"), tar_opaque("e")});
  EXPECT_TRUE(is_opaque(tree() / "d"));
  EXPECT_TRUE(is_opaque(tree() / "e"));
  EXPECT_EQ(status_of(tree() / "d").st_mode, S_IFDIR | 0750U);
}

TEST_F(Unpack, KeepsAnEntryThatHasAWhiteoutToo) {
  unpack({tar_whiteout("", "a"), tar_dir("a"), tar_dir("b"), tar_whiteout("", "b"),
          tar_whiteout("", "f"), tar_file("f", "1"), tar_file("g", "2"), tar_whiteout("", "g")});
  EXPECT_TRUE(is_opaque(tree() / "a"));
  EXPECT_TRUE(is_opaque(tree() / "b"));
  EXPECT_EQ(read_file(tree() / "f"), "1");
  EXPECT_EQ(read_file(tree() / "g"), "2");
}

TEST_F(Unpack, IgnoresWhatAufsKeptForItself) {
  unpack({tar_whiteout("", ".wh.plnk"), tar_file(".wh..wh.orph/x", "")});
  EXPECT_FALSE(std::filesystem::exists(tree() / ".wh..wh.plnk"));
}

TEST_F(Unpack, CutsOffTheLayersBelowAnOpaqueRoot) {
  EXPECT_EQ(import_layers("image", {{make_tar({tar_file("old")})},
                                    {make_tar({tar_opaque(""), tar_file("new")})}})
                .err,
            "");
  EXPECT_EQ(trees("image").size(), 1U);
}

// Directories without an entry and hard links to files of other layers.

TEST_F(Unpack, GivesAMissingDirectoryTheAttributesThatItHasBelow) {
  TarEntry directory = tar_dir("d", 01770);
  directory.uid = 42;
  directory.pax = {{"SCHILY.xattr.user.k", "v"}};
  const std::string upper = make_tar({tar_file("d/new/file", "x")});
  ASSERT_EQ(import_layers("image", {{make_tar({directory})}, {upper}}).err, "");
  const std::filesystem::path top = trees("image")[0];
  const struct stat d = status_of(top / "d");
  EXPECT_EQ(d.st_mode, S_IFDIR | 01770U);
  EXPECT_EQ(d.st_uid, 42U);
  EXPECT_EQ(d.st_mtime, 1'000'000'000);
  EXPECT_EQ(xattr_of(top / "d", "user.k"), "v");
  EXPECT_EQ(status_of(top / "d/new").st_mode, S_IFDIR | 0755U);
  EXPECT_EQ(status_of(top / "d/new").st_mtime, 0);
}

TEST_F(Unpack, UnpacksALayerWithMissingDirectoriesOncePerChain) {
  const std::string shared = make_tar({tar_file("d/x")});
  ASSERT_EQ(import_layers("one", {{make_tar({tar_dir("d", 0700)})}, {shared}}).err, "");
  ASSERT_EQ(import_layers("two", {{make_tar({tar_dir("d", 0755)})}, {shared}}).err, "");
  EXPECT_EQ(status_of(trees("one")[0] / "d").st_mode, S_IFDIR | 0700U);
  EXPECT_EQ(status_of(trees("two")[0] / "d").st_mode, S_IFDIR | 0755U);
  EXPECT_EQ(listed("layers/sha256").size(), 4U);
}

TEST_F(Unpack, TakesNothingFromWhatTheLayerItselfHides) {
  const LayerSpec below{make_tar({tar_dir("a", 0700), tar_dir("b", 0700), tar_dir("b/c", 0700)})};
  ASSERT_EQ(import_layers("image", {below,
                                    {make_tar({tar_whiteout("", "a"), tar_file("a/x"),
                                               tar_opaque("b"), tar_file("b/c/x")})}})
                .err,
            "");
  const std::filesystem::path top = trees("image")[0];
  EXPECT_TRUE(is_opaque(top / "a"));
  EXPECT_EQ(status_of(top / "a").st_mode, S_IFDIR | 0755U);
  EXPECT_EQ(status_of(top / "b").st_mode, S_IFDIR | 0700U);
  EXPECT_EQ(status_of(top / "b/c").st_mode, S_IFDIR | 0755U);
}

TEST_F(Unpack, LooksForAttributesPastWhiteoutsNoFurther) {
  const LayerSpec bottom{make_tar({tar_dir("a", 0700)})};
  const LayerSpec middle{make_tar({tar_whiteout("", "a")})};
  ASSERT_EQ(import_layers("image", {bottom, middle, {make_tar({tar_file("a/x")})}}).err, "");
  EXPECT_EQ(status_of(trees("image")[0] / "a").st_mode, S_IFDIR | 0755U);
}

TEST_F(Unpack, CopiesTheTargetOfAHardLinkFromALayerBelow) {
  TarEntry file = tar_file("d/f", "content", 04711);
  file.uid = 5;
  file.pax = {{"SCHILY.xattr.user.k", "v"}};
  ASSERT_EQ(import_layers("image", {{make_tar({tar_dir("d"), file})},
                                    {make_tar({tar_dir("e"), tar_hard_link("e/a", "d/f"),
                                               tar_hard_link("e/b", "e/a")})}})
                .err,
            "");
  const std::filesystem::path top = trees("image")[0];
  EXPECT_EQ(read_file(top / "e/a"), "content");
  EXPECT_EQ(status_of(top / "e/a").st_mode, S_IFREG | 04711U);
  EXPECT_EQ(status_of(top / "e/a").st_uid, 5U);
  EXPECT_EQ(xattr_of(top / "e/a", "user.k"), "v");
  EXPECT_EQ(status_of(top / "e/a").st_nlink, 2U);
  EXPECT_EQ(status_of(top / "e").st_mtime, 1'000'000'000);
}

}  // namespace
}  // namespace layerfs::test
