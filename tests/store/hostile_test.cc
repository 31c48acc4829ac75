// Archives that must be refused: with a sentence, and nothing left behind or written elsewhere.
#include <cstdlib>
#include <fstream>

#include "tests/store/store_fixture.h"
#include "tests/support/command.h"
#include "tests/support/loop_fs.h"

namespace layerfs::test {
namespace {

using ::testing::HasSubstr;

class Hostile : public StoreTest {
 protected:
  void SetUp() override { write_file(outside(), "untouched"); }

  std::filesystem::path outside() const { return dir_ / "outside/file"; }

  void expect_refused(const CommandResult& result, const std::string& sentence) const {
    EXPECT_EQ(result.status, 1);
    EXPECT_EQ(result.out, "");
    EXPECT_THAT(result.err, HasSubstr(sentence));
    expect_untouched();
    EXPECT_EQ(read_file(outside()), "untouched");
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir_ / "outside"), {}), 1);
  }
  void expect_tar_refused(const std::vector<TarEntry>& entries, const std::string& sentence) const {
    expect_refused(import_tar(entries), sentence);
  }
};

TEST_F(Hostile, NamesThatLeadOut) {
  expect_tar_refused({tar_file("../../../../outside/file", "x")}, "leads out of the image");
  expect_tar_refused({tar_file("a/../../outside/file", "x")}, "leads out of the image");
  expect_tar_refused({tar_dir("..")}, "leads out of the image");
  expect_tar_refused({tar_file(outside().string(), "x")}, "is absolute");
}

TEST_F(Hostile, ASymlinkAndAWriteThroughIt) {
  expect_tar_refused({tar_symlink("link", (dir_ / "outside").string()), tar_file("link/new", "x")},
                     "through the symbolic link 'link'");
  expect_tar_refused({tar_symlink("link", "../../../../../outside"), tar_file("link/file", "x")},
                     "through the symbolic link 'link'");
  expect_tar_refused({tar_dir("d"), tar_symlink("d/up", "../../.."), tar_dir("d/up/x")},
                     "through the symbolic link 'd/up'");
  expect_tar_refused({tar_symlink("loop", "loop"), tar_file("loop/x")}, "symbolic link 'loop'");
}

TEST_F(Hostile, AFileInPlaceOfASymlinkReplacesIt) {
  ASSERT_EQ(import_tar({tar_symlink("link", outside().string()), tar_file("link", "x")}).err, "");
  EXPECT_EQ(read_file(outside()), "untouched");
  EXPECT_EQ(read_file(tree() / "link"), "x");
}

TEST_F(Hostile, AHardLinkToOutside) {
  expect_tar_refused({tar_hard_link("stolen", "../../../../outside/file")},
                     "leads out of the image");
  expect_tar_refused({tar_hard_link("stolen", outside().string())}, "no file of the image");
  expect_tar_refused(
      {tar_symlink("link", (dir_ / "outside").string()), tar_hard_link("stolen", "link/file")},
      "leads out of the layer");
}

TEST_F(Hostile, WhiteoutsOfNothingOrOfTheParent) {
  expect_tar_refused({tar_dir("d"), tar_whiteout("d", "")}, "whiteout of no valid name");
  expect_tar_refused({tar_dir("d"), tar_whiteout("d", ".")}, "whiteout of no valid name");
  expect_tar_refused({tar_dir("d"), tar_whiteout("d", "..")}, "whiteout of no valid name");
  expect_tar_refused({tar_symlink("l", (dir_ / "outside").string()), tar_whiteout("l", "file")},
                     "through the symbolic link");
  expect_tar_refused({tar_symlink("l", (dir_ / "outside").string()), tar_opaque("l")},
                     "through the symbolic link");
}

TEST_F(Hostile, AnEntryBelowAFile) {
  expect_tar_refused({tar_file("f"), tar_file("f/x")}, "which is no directory");
}

TEST_F(Hostile, NamesAndOwnersThatNoFileCanHave) {
  expect_tar_refused({tar_file(std::string(256, 'x'))}, "longer than 255 bytes");
  TarEntry owner = tar_file("f");
  owner.pax = {{"uid", "4294967295"}};
  expect_tar_refused({owner}, "out of range");
}

TEST_F(Hostile, ARootThatIsAFile) { expect_tar_refused({tar_file(".", "x")}, "not a directory"); }

TEST_F(Hostile, AFileOfExabytes) {
  std::string tar = make_unended_tar({tar_file("huge", "x")});
  // Base-256 size: 2^60.
  std::string size(12, '\0');
  size[0] = '\x80';
  size[4] = '\x10';
  tar.replace(124, 12, size);
  unsigned sum = 0;
  tar.replace(148, 8, "        ");
  for (std::size_t i = 0; i < 512; ++i) sum += static_cast<unsigned char>(tar[i]);
  char text[8];
  std::snprintf(text, sizeof text, "%06o", sum);
  tar.replace(148, 7, std::string(text, 7));
  expect_refused(import_layers("image", {{tar}}), "tar archive is broken");
}

TEST_F(Hostile, ATarThatIsTruncatedButHasTheRightDigest) {
  const std::string tar = make_tar({tar_file("f", std::string(5000, 'x'))});
  expect_refused(import_layers("image", {{tar.substr(0, 3000)}}), "tar archive is broken");
  expect_refused(import_layers("image", {{tar.substr(0, 200)}}), "tar archive is broken");
  expect_refused(import_layers("image", {{std::string(4096, 'g')}}), "tar archive is broken");
}

TEST_F(Hostile, ALayerOfAnUnknownMediaType) {
  expect_refused(import_layers("image", {{make_tar({}), LayerForm::kPlain, "application/x-rar"}}),
                 "unknown media type 'application/x-rar'");
}

TEST_F(Hostile, ABlobWithAnotherContent) {
  write_layout(dir_ / "layout", "image", {{make_tar({tar_file("f", "x")}), LayerForm::kGzip}});
  for (const auto& blob : std::filesystem::directory_iterator(dir_ / "layout/blobs/sha256")) {
    const std::string content = read_file(blob.path());
    for (const std::size_t at : {std::size_t{0}, content.size() / 2, content.size() - 1}) {
      std::string damaged = content;
      damaged[at] ^= 1;
      write_file(blob.path(), damaged);
      const CommandResult result = layerfs({"import", dir_ / "layout"});
      EXPECT_EQ(result.status, 1) << blob.path() << at;
      EXPECT_THAT(result.err, testing::AnyOf(HasSubstr("digest"), HasSubstr("broken")));
    }
    write_file(blob.path(), content.substr(0, content.size() - 1));
    EXPECT_THAT(layerfs({"import", dir_ / "layout"}).err, HasSubstr("bytes long, not"));
    write_file(blob.path(), content);
  }
  expect_untouched();
}

TEST_F(Hostile, ALayerThatIsNotWhatTheConfigurationSays) {
  write_docker_archive(dir_ / "good.tar", "image:1", {{make_tar({tar_file("f", "x")})}});
  std::string archive = read_file(dir_ / "good.tar");
  const std::size_t at = archive.find("sha256:") + 7;
  archive[at] = archive[at] == '0' ? '1' : '0';
  write_file(dir_ / "bad.tar", archive);
  expect_refused(layerfs({"import", dir_ / "bad.tar"}), "digest");
}

TEST_F(Hostile, AnArchiveThatEndsTooEarly) {
  write_docker_archive(dir_ / "a.tar", "image:1",
                       {{make_tar({tar_file("f", std::string(9000, 'x'))})}});
  const std::string archive = read_file(dir_ / "a.tar");
  for (const std::size_t size : {std::size_t{700}, archive.size() / 2, archive.size() - 2000}) {
    write_file(dir_ / "cut.tar", archive.substr(0, size));
    expect_refused(layerfs({"import", dir_ / "cut.tar"}), "");
  }
}

TEST_F(Hostile, WhatIsNoImageAtAll) {
  write_file(dir_ / "text", "hello, this is not an image\n");
  expect_refused(layerfs({"import", dir_ / "text"}), "not a whole tar archive");
  std::filesystem::create_directory(dir_ / "empty");
  expect_refused(layerfs({"import", dir_ / "empty"}), "neither an OCI image layout nor");
  write_file(dir_ / "rootfs.tar", make_tar({tar_dir("etc"), tar_file("etc/passwd")}));
  expect_refused(layerfs({"import", dir_ / "rootfs.tar"}), "neither an OCI image layout nor");
  expect_refused(layerfs({"import", dir_ / "missing"}), "No such file");
}

TEST_F(Hostile, AFullDiskLeavesNothing) {
  const std::filesystem::path small = mount_new_fs(dir_, "ext4", 24 << 20);
  std::string noise(40 << 20, '\0');
  std::uint32_t state = 1;
  for (char& byte : noise) byte = static_cast<char>((state = state * 1664525 + 1013904223) >> 24);
  const TempDir layout;
  write_layout(layout.path(), "image", {{make_tar({tar_file("big", noise)})}});
  const Ran ran = run({layerfs_program(), "import", "--root", small / "store", layout.path()});
  EXPECT_EQ(ran.status, 1);
  EXPECT_THAT(ran.err, HasSubstr("No space left on device"));
  EXPECT_TRUE(std::filesystem::is_empty(small / "store/tmp"));
  EXPECT_TRUE(std::filesystem::is_empty(small / "store/layers/sha256"));
  EXPECT_TRUE(std::filesystem::is_empty(small / "store/blobs/sha256"));
}

TEST_F(Hostile, ADirectoryThatIsNotAStore) {
  write_file(dir_ / "root/precious", "x");
  const CommandResult result = import_tar({tar_file("f")});
  EXPECT_EQ(result.status, 1);
  EXPECT_THAT(result.err, HasSubstr("neither a store nor empty"));
  EXPECT_EQ(listed(""), std::vector<std::string>{"precious"});
}

}  // namespace
}  // namespace layerfs::test
