// Data-only layers: what the kernel's overlayfs makes of them, mounted beside.
#include <sys/mount.h>

#include <filesystem>
#include <string>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/mount/program_fixture.h"

namespace layerfs::test {
namespace {

using testing::HasSubstr;

// A layer of metacopies as composefs makes it, over two stores of content. A file's data is where
// its redirect says, in the first store that has it.
constexpr const char* kLayers = R"(
mkdir -p meta/dir middle/dir one/ob/ab two/ob/ab two/ob/cd
meta() { mkdir -p $(dirname $1); truncate -s $2 $1; setfattr -n trusted.overlay.metacopy $1
         setfattr -n trusted.overlay.redirect -v $3 $1; chmod $4 $1; chown $5 $1; touch -d $6 $1; }
echo 'first object' > one/ob/ab/1; echo 'second store' > two/ob/ab/1
head -c 20000 /dev/urandom > two/ob/cd/2; setfattr -n user.store -v hidden two/ob/cd/2
head -c 5000 /dev/urandom > two/ob/cd/3; chmod 600 one/ob/ab/1 two/ob/*/*; touch -d 2001-01-01 two/ob/cd/*
mkdir two/ob/dir; ln -s cd/2 two/ob/link; echo plain > middle/plain
meta meta/file 13 /ob/ab/1 644 1:2 2020-01-01
meta meta/dir/big 20000 /ob/cd/2 755 0:0 2021-02-03
meta meta/same 20000 /ob/cd/2 640 5:5 2021-02-04
meta middle/dir/deep 5000 /ob/cd/3 444 0:0 2022-01-01
meta meta/twice 5000 /dir/deep 600 0:0 2022-01-02
setfattr -n user.mine -v shown meta/dir/big
ln meta/dir/big meta/hard
meta meta/lost 7 /ob/ab/none 644 0:0 2020-01-01
meta meta/nowhere 7 /none/x/y 644 0:0 2020-01-01
meta meta/link 7 /ob/link 644 0:0 2020-01-01
meta meta/directory 7 /ob/dir 644 0:0 2020-01-01
meta meta/below 7 /ob/ab/1/x 644 0:0 2020-01-01
)";
constexpr const char* kGood = "file dir/big same dir/deep twice hard plain";
constexpr const char* kLost = "lost nowhere link directory below";

class DataOnly : public ProgramFixture {
 protected:
  // The layers, and for each of the two unions an upper, on one file system.
  DataOnly() {
    for (const char* name :
         {"fs/ours/upper", "fs/ours/work", "fs/kernels/upper", "fs/kernels/work", "kernels-mnt"})
      dir_.make(name);
    const Ran made = shell(kLayers, {.directory = path_of("fs")});
    EXPECT_TRUE(made.ok()) << made.err;
  }
  ~DataOnly() override {
    ::umount2(path_of("kernels-mnt").c_str(), MNT_DETACH);
    layerfs({"umount", mnt_});
  }

  std::string options(const std::string& side) const {
    return fmt::format(
        "lowerdir=meta:middle::one::two,upperdir={0}/upper,workdir={0}/work,metacopy=on,"
        "redirect_dir=on",
        side);
  }
  void mount_both(const std::string& more = "") {
    const RunOptions where{.directory = path_of("fs")};
    const Ran ours = layerfs({"mount", "-o", options("ours") + more, mnt_}, where);
    ASSERT_TRUE(ours.ok()) << ours.err;
    const Ran kernels =
        shell("mount -t overlay -o " + options("kernels") + " none ../kernels-mnt", where);
    ASSERT_TRUE(kernels.ok()) << kernels.err;
  }
  void unmount_both() {
    ASSERT_TRUE(layerfs({"umount", mnt_}).ok());
    ASSERT_EQ(::umount(path_of("kernels-mnt").c_str()), 0);
  }

  std::string out(const std::string& where, const std::string& script) const {
    const Ran ran = shell(script, {.directory = path_of(where)});
    EXPECT_TRUE(ran.ok()) << where << ": " << script << ": " << ran.err;
    return ran.out;
  }
  // The script, in which $good and $lost are files, has the same output over both.
  void expect_same(const std::string& script) const {
    const std::string all =
        fmt::format("good='{}'; lost='{}'; exec 2>&1; {}", kGood, kLost, script);
    const std::string got = out("mnt", all);
    EXPECT_EQ(got, out("kernels-mnt", all)) << script;
    EXPECT_NE(got, "");
  }
  void expect_same_tree() const {
    expect_same(
        "sha256sum $good; stat -c '%n %F %s %b %a %u %g %h %Y' $good; getfattr -d -m - $good");
    expect_same("find . -printf '%p %y\\n' | sort");
  }
};

TEST_F(DataOnly, ShowTheContentOfMetacopiesAndNoNamesOfTheirOwn) {
  mount_both();
  expect_same_tree();
  expect_same("stat -c '%n %s %a %b' $lost; ls ob || true");
  EXPECT_EQ(out("mnt", "cat file"), "first object\n");
}

// The kernel answers ENOENT, as if the name were not there.
TEST_F(DataOnly, WhoseObjectIsMissingGiveAnIoError) {
  mount_both();
  for (const char* script :
       {"cat lost", "cat nowhere", "cat directory", "echo x >> lost", "cat link", "cat below"}) {
    EXPECT_THAT(shell(script, {.directory = mnt_}).err, HasSubstr("Input/output error")) << script;
    EXPECT_FALSE(shell(script, {.directory = path_of("kernels-mnt")}).ok()) << script;
  }
  EXPECT_EQ(out("fs/ours/upper", "ls"), "");
}

TEST_F(DataOnly, AreCopiedUpAsByTheKernel) {
  mount_both();
  expect_same(
      "chmod 600 file; chown 7:8 same; touch -d 2010-01-01 twice; stat -c '%n %s %b %a %u' $good");
  expect_same("sha256sum $good");
  expect_same(
      "echo more >> file; echo x | dd of=dir/big bs=1 seek=9 conv=notrunc status=none; truncate -s "
      "9 same; cat file same");
  expect_same(
      "mv twice dir/renamed; mv dir moved; ln moved/deep link2; rm hard; sha256sum moved/* link2; "
      "ls -R");
  expect_same(
      "sha256sum file same moved/* link2 plain; stat -c '%n %s %a %u %g' file same moved/* "
      "link2");
  unmount_both();
  EXPECT_EQ(out("fs",
                "cat one/ob/ab/1; sha256sum two/ob/cd/* | wc -l; getfattr -d -m trusted "
                "two/ob/cd/* one/ob/ab/1"),
            "first object\n2\n");
  mount_both();
  expect_same(
      "sha256sum file same moved/* link2 plain; stat -c '%n %s %a %u %g' file same moved/* link2");
}

// Each upper has metacopies of metacopies.
TEST_F(DataOnly, ServeAnUpperThatTheKernelWroteAndTheReverse) {
  mount_both();
  for (const char* where : {"mnt", "kernels-mnt"})
    out(where, "chmod 600 file; mv same other; chmod 400 dir/deep; mv dir/deep there");
  const std::string look = "sha256sum file other there; stat -c '%n %s %b %a' file other there";
  const std::string expected = out("mnt", look);
  unmount_both();
  out("fs", "mv ours swap; mv kernels ours; mv swap kernels");
  mount_both();
  EXPECT_EQ(out("mnt", look), expected);
  EXPECT_EQ(out("kernels-mnt", look), expected);
}

TEST_F(DataOnly, AreReadThroughThePageCacheToo) {
  mount_both(",passthrough=none");
  expect_same_tree();
}

// Who may write an upper's xattrs does not reach the stores by it.
TEST_F(DataOnly, AreNotReachedFromTheUpperAlone) {
  out("fs",
      "for side in ours kernels; do f=$side/upper/reach; truncate -s 13 $f;"
      "setfattr -n trusted.overlay.metacopy $f; setfattr -n trusted.overlay.redirect -v /ob/ab/1 "
      "$f; done");
  mount_both();
  for (const std::string& where : {mnt_, path_of("kernels-mnt")})
    EXPECT_THAT(shell("cat reach", {.directory = where}).err, HasSubstr("Input/output error"));
}

TEST_F(DataOnly, NeedALowerDirectoryAndLieApartFromTheUpper) {
  const RunOptions where{.directory = path_of("fs")};
  EXPECT_THAT(layerfs({"mount", "-o", "datadir+=one", mnt_}, where).err, HasSubstr("lowerdir"));
  EXPECT_THAT(
      layerfs({"mount", "-o", "lowerdir=meta::one,upperdir=one,workdir=ours/work", mnt_}, where)
          .err,
      HasSubstr("lie within each other"));
  ASSERT_TRUE(
      layerfs({"mount", "-o", "lowerdir+=meta,lowerdir+=middle,datadir+=one,datadir+=two", mnt_},
              where)
          .ok());
  EXPECT_EQ(out("mnt", "cat file; stat -c %s dir/deep"), "first object\n5000\n");
}

}  // namespace
}  // namespace layerfs::test
