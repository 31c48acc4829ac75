#include "fs/layer/index_writer.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "fs/layer/index.h"
#include "fs/sys/unique_fd.h"
#include "tests/support/command.h"
#include "tests/support/elf_file.h"
#include "tests/support/loop_fs.h"
#include "tests/support/temp_dir.h"

namespace layerfs::layer {
namespace {

using std::filesystem::path;

sys::UniqueFd open_dir(const path& directory) {
  return sys::UniqueFd(open(directory.c_str(), O_RDONLY | O_DIRECTORY));
}

// A layer in a directory `fs`, and its index beside it.
class IndexedLayer {
 public:
  explicit IndexedLayer(const std::string& script, const std::string& type = "")
      : base_(type.empty() ? dir_.path() : test::mount_new_fs(dir_, type)) {
    std::filesystem::create_directory(root());
    const test::Ran ran = test::shell(script, {.directory = root()});
    EXPECT_TRUE(ran.ok()) << ran.err;
  }

  Outcome<void> write(bool user_xattr = false, Whiteouts whiteouts = Whiteouts::kOverlay) const {
    return write_index(open_dir(root()).get(), open_dir(base_).get(), "index", user_xattr,
                       whiteouts);
  }
  std::unique_ptr<Index> open_index() const {
    auto index = Index::open(open_dir(base_).get(), "index");
    EXPECT_TRUE(index) << index.error().sentence;
    return index ? std::move(*index) : nullptr;
  }
  std::unique_ptr<Index> indexed(bool user_xattr = false) const {
    const auto written = write(user_xattr);
    EXPECT_TRUE(written) << written.error().sentence;
    return open_index();
  }

  path root() const { return base_ / "fs"; }
  path base() const { return base_; }

 private:
  const test::TempDir dir_;
  const path base_;
};

IndexedEntry entry_at(const Index& index, const path& where) {
  IndexedEntry entry{"", 0, kIndexRoot, DT_DIR};
  for (const path& name : where) {
    const auto found = index.find(entry.slot, name.string());
    EXPECT_TRUE(found && *found) << where;
    if (!found || !*found) return {};
    entry = **found;
  }
  return entry;
}

IndexedInode inode_at(const Index& index, const path& where) {
  const auto inode = index.inode(entry_at(index, where).slot);
  EXPECT_TRUE(inode) << where;
  return inode.value_or(IndexedInode());
}

// Compares a directory with all below; returns how many entries it has seen.
std::size_t expect_same(const Index& index, IndexSlot slot, const path& directory) {
  std::vector<std::string> listed;
  std::size_t seen = 0;
  const auto read = index.for_each(slot, 0, [&](const IndexedEntry& entry) -> Result<void> {
    const path file = directory / entry.name;
    listed.emplace_back(entry.name);
    ++seen;
    struct stat st = {};
    EXPECT_EQ(lstat(file.c_str(), &st), 0) << file;
    const IndexedInode inode = index.inode(entry.slot).value();
    st.st_dev = 0;
    // Reading directories and symlinks changed it.
    st.st_atim = inode.attr.st_atim;
    EXPECT_EQ(std::memcmp(&inode.attr, &st, sizeof st), 0) << file;
    if (S_ISLNK(st.st_mode)) {
      EXPECT_EQ(inode.text, std::filesystem::read_symlink(file).string());
    }
    if (S_ISDIR(st.st_mode)) seen += expect_same(index, entry.slot, file);
    return {};
  });
  EXPECT_TRUE(read);
  std::vector<std::string> there;
  for (const auto& child : std::filesystem::directory_iterator(directory)) {
    there.push_back(child.path().filename());
  }
  std::sort(listed.begin(), listed.end());
  std::sort(there.begin(), there.end());
  EXPECT_EQ(listed, there) << directory;
  return seen;
}

class WriteIndexOn : public testing::TestWithParam<std::string> {};

TEST_P(WriteIndexOn, HoldsEveryNameAndAttribute) {
  const IndexedLayer layer(
      "mkdir -p a/b/c d 'with space'; echo 1 > a/1; echo 2 > a/b/2; ln a/1 d/hard; ln -s ../x "
      "a/sym;"
      "mkfifo fifo; mknod char c 1 3; mknod block b 7 300; chmod 6755 a/1; chown 7:4000000000 "
      "a/b/2;"
      "touch -d @-5 d/old; touch -d 2040-01-01T00:00:00.123456789 d/late; truncate -s 3T sparse;"
      "touch $(printf '%0255d' 0); touch $(printf 'a\\nb\\377'); sync -f .",
      GetParam());
  const auto index = layer.indexed();
  EXPECT_EQ(expect_same(*index, kIndexRoot, layer.root()), 17u);
  EXPECT_TRUE(index->verify());
  EXPECT_TRUE(index->describes(open_dir(layer.root()).get(), false).value());
  EXPECT_EQ(entry_at(*index, "a/1").slot, entry_at(*index, "d/hard").slot);
}

INSTANTIATE_TEST_SUITE_P(FileSystems, WriteIndexOn,
                         testing::Values("ext4", "xfs", "btrfs", "tmpfs"),
                         [](const auto& test) { return test.param; });

TEST(WriteIndex, ReadsWhiteoutsAndOpaqueDirectories) {
  const IndexedLayer layer(
      "mkdir dir opaque; mknod dir/gone c 0 0; setfattr -n trusted.overlay.opaque -v y opaque");
  const auto index = layer.indexed();
  EXPECT_TRUE(entry_at(*index, "dir/gone").whiteout());
  EXPECT_EQ(inode_at(*index, "dir").flags, 0u);
  EXPECT_EQ(inode_at(*index, "opaque").flags, index_flag::kOpaque);
  EXPECT_EQ(index->xattr_kinds(), 0u);
}

TEST(WriteIndex, ReadsWhiteoutsByXattr) {
  const IndexedLayer layer(
      "mkdir dir; touch dir/gone dir/there; setfattr -n user.overlay.whiteout -v '' dir/gone;"
      "setfattr -n user.overlay.opaque -v x dir");
  const auto index = layer.indexed(true);
  EXPECT_TRUE(entry_at(*index, "dir/gone").whiteout());
  EXPECT_FALSE(entry_at(*index, "dir/there").whiteout());
  EXPECT_EQ(inode_at(*index, "dir").flags, 0u);
}

TEST(WriteIndex, ReadsAufsWhiteouts) {
  const IndexedLayer layer(
      "mkdir dir opaque both; touch dir/.wh.gone opaque/.wh..wh..opq opaque/x .wh.both .wh.file "
      "file");
  ASSERT_TRUE(layer.write(false, Whiteouts::kAufs));
  const auto index = layer.open_index();
  EXPECT_TRUE(entry_at(*index, "dir/gone").whiteout());
  EXPECT_FALSE(index->find(entry_at(*index, "dir").slot, ".wh.gone").value());
  EXPECT_EQ(inode_at(*index, "opaque").flags, index_flag::kOpaque);
  EXPECT_EQ(index->size(entry_at(*index, "opaque").slot).value(), 1u);
  EXPECT_EQ(inode_at(*index, "both").flags, index_flag::kOpaque);
  EXPECT_EQ(entry_at(*index, "file").type, DT_REG);
}

TEST(WriteIndex, KeepsNamesThatWouldBeWhiteoutsOfAufs) {
  const IndexedLayer layer(
      "mkdir dir opaque; touch dir/.wh.gone opaque/.wh..wh..opq file .wh.file");
  const auto index = layer.indexed();
  EXPECT_EQ(entry_at(*index, "dir/.wh.gone").type, DT_REG);
  EXPECT_FALSE(index->find(entry_at(*index, "dir").slot, "gone").value());
  EXPECT_EQ(inode_at(*index, "opaque").flags, 0u);
  EXPECT_EQ(entry_at(*index, "opaque/.wh..wh..opq").type, DT_REG);
  EXPECT_EQ(entry_at(*index, ".wh.file").type, DT_REG);
}

TEST(WriteIndex, SaysHowWhiteoutsWereRead) {
  const IndexedLayer layer("touch .wh.file");
  for (const Whiteouts written : {Whiteouts::kOverlay, Whiteouts::kAufs}) {
    ASSERT_TRUE(layer.write(false, written));
    const auto index = layer.open_index();
    const sys::UniqueFd root = open_dir(layer.root());
    EXPECT_EQ(index->describes(root.get(), false, Whiteouts::kOverlay).value(),
              written == Whiteouts::kOverlay);
    EXPECT_EQ(index->describes(root.get(), false, Whiteouts::kAufs).value(),
              written == Whiteouts::kAufs);
  }
}

TEST(WriteIndex, ReadsRedirectsAndMetacopy) {
  const IndexedLayer layer(
      "mkdir dir; touch file; setfattr -n trusted.overlay.redirect -v /a/b dir;"
      "setfattr -n trusted.overlay.metacopy -v '' file; setfattr -n trusted.overlay.redirect -v c "
      "file");
  const auto index = layer.indexed();
  EXPECT_EQ(inode_at(*index, "dir").text, "/a/b");
  EXPECT_EQ(inode_at(*index, "dir").flags, index_flag::kRedirect);
  EXPECT_EQ(inode_at(*index, "file").text, "c");
  EXPECT_EQ(inode_at(*index, "file").flags, index_flag::kRedirect | index_flag::kMetacopy);
}

// A layer of programs of each kind, other files with execute bits, and what is between.
class WriteIndexOfPrograms : public testing::Test {
 protected:
  WriteIndexOfPrograms() {
    test::write_file(layer_.root() / "program", test::elf_file(ET_EXEC, 5000));
    test::write_file(layer_.root() / "library", test::elf_file(ET_DYN));
    test::write_file(layer_.root() / "object", test::elf_file(ET_REL, 5000));
    test::write_file(layer_.root() / "core", test::elf_file(ET_CORE, 5000));
    const test::Ran ran = test::shell(
        "chmod 755 program object core; chmod 644 library; ln program link; mkdir dir;"
        "ln library dir/link; seq 100 > data; echo '#!/bin/sh' > script; seq 100 >> script;"
        "touch empty; truncate -s 1G sparse; truncate -s 5000 metacopy;"
        "setfattr -n trusted.overlay.metacopy -v '' metacopy; head -c 51 program > short;"
        "chmod 777 data script empty sparse metacopy short; ln -s program symlink; mkfifo fifo",
        {.directory = layer_.root()});
    EXPECT_TRUE(ran.ok()) << ran.err;
    index_ = layer_.indexed();
  }
  std::uint32_t flags_of(const path& name) const { return inode_at(*index_, name).flags; }

  const IndexedLayer layer_{""};
  std::unique_ptr<Index> index_;
};

TEST_F(WriteIndexOfPrograms, TellsThemUnderEachName) {
  for (const char* name : {"program", "link", "library", "dir/link"})
    EXPECT_EQ(flags_of(name), index_flag::kProgram | index_flag::kMaybeProgram) << name;
}

TEST_F(WriteIndexOfPrograms, IgnoresExecuteBits) {
  for (const char* name :
       {"object", "core", "data", "script", "empty", "sparse", "short", "dir", "symlink", "fifo"})
    EXPECT_EQ(flags_of(name), 0U) << name;
  EXPECT_EQ(flags_of("metacopy"), index_flag::kMetacopy);
}

TEST(WriteIndex, TellsKindsOfXattrs) {
  const IndexedLayer layer(
      "touch user cap acl trusted escaped none; setfattr -n user.a -v b user; setcap "
      "cap_net_raw+ep cap;"
      "setfacl -m u:5:r acl; setfattr -n trusted.a -v b trusted;"
      "setfattr -n trusted.overlay.overlay.x -v b escaped; setfattr -n trusted.overlay.origin "
      "none");
  const auto index = layer.indexed();
  EXPECT_EQ(inode_at(*index, "user").flags, index_flag::kUser);
  EXPECT_EQ(inode_at(*index, "cap").flags, index_flag::kCapability);
  EXPECT_EQ(inode_at(*index, "acl").flags, index_flag::kAcl);
  EXPECT_EQ(inode_at(*index, "trusted").flags, index_flag::kTrusted);
  EXPECT_EQ(inode_at(*index, "escaped").flags, index_flag::kTrusted);
  EXPECT_EQ(inode_at(*index, "none").flags, 0u);
  EXPECT_EQ(index->xattr_kinds(),
            index_flag::kUser | index_flag::kCapability | index_flag::kAcl | index_flag::kTrusted);
}

TEST(WriteIndex, GoesBelowPathMax) {
  constexpr int kDepth = 60;
  const std::string name(200, 'd');
  const IndexedLayer layer("");
  sys::UniqueFd at = open_dir(layer.root());
  for (int i = 0; i < kDepth; ++i) {
    ASSERT_EQ(mkdirat(at.get(), name.c_str(), 0755), 0);
    at.reset(openat(at.get(), name.c_str(), O_RDONLY | O_DIRECTORY));
  }
  ASSERT_EQ(mkdirat(at.get(), "last", 0700), 0);
  const auto index = layer.indexed();
  EXPECT_EQ(index->inode_count(), kDepth + 2u);
  IndexSlot slot = kIndexRoot;
  for (int i = 0; i < kDepth; ++i) {
    const auto found = index->find(slot, name);
    ASSERT_TRUE(found && *found) << i;
    slot = (*found)->slot;
  }
  EXPECT_TRUE(index->find(slot, "last").value());
}

TEST(WriteIndex, RefusesALayerThatItCannotUnderstand) {
  const IndexedLayer layer("mkdir -p a/dir; setfattr -n trusted.overlay.redirect -v ../x a/dir");
  const auto written = layer.write();
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, EINVAL);
  EXPECT_NE(written.error().sentence.find("'a/dir'"), std::string::npos)
      << written.error().sentence;
  EXPECT_FALSE(std::filesystem::exists(layer.base() / "index"));
}

TEST(WriteIndex, RefusesALayerWithAMountInIt) {
  const IndexedLayer layer("mkdir m; mount -t tmpfs tmpfs m");
  EXPECT_EQ(layer.write().error().code, EXDEV);
}

TEST(WriteIndex, ReplacesTheFormerAndLeavesNothingElse) {
  const IndexedLayer layer("touch a");
  const auto former = layer.indexed();
  test::shell("touch b", {.directory = layer.root()});
  EXPECT_FALSE(former->describes(open_dir(layer.root()).get(), false).value());
  const auto index = layer.indexed();
  EXPECT_EQ(index->size(kIndexRoot).value(), 2u);
  EXPECT_EQ(former->size(kIndexRoot).value(), 1u);
  std::vector<path> there;
  for (const auto& entry : std::filesystem::directory_iterator(layer.base())) {
    there.push_back(entry.path().filename());
  }
  std::sort(there.begin(), there.end());
  EXPECT_EQ(there, (std::vector<path>{"fs", "index"}));
}

TEST(WriteIndex, ReportsWhereItCannotWrite) {
  const IndexedLayer layer("touch a");
  const auto written =
      write_index(open_dir(layer.root()).get(), open_dir("/proc").get(), "index", false);
  ASSERT_FALSE(written);
  EXPECT_NE(written.error().code, 0);
}

}  // namespace
}  // namespace layerfs::layer
