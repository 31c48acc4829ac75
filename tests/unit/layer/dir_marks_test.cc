// Marks that are read from real files, and what is told of those that are broken.
#include "fs/layer/dir_marks.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fs/sys/unique_fd.h"
#include "fs/sys/xattr.h"
#include "tests/support/problems.h"
#include "tests/support/temp_dir.h"

namespace layerfs::layer {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class DirMarks : public testing::Test {
 protected:
  DirMarks() : reporter_(problems_, "/the/layer", root_.get()) {
    test::write_file(dir_ / "dir/file", "");
  }

  static void set(const sys::At& at, const std::string& mark, const std::string& value) {
    ASSERT_TRUE(sys::set_xattr(at, "trusted.overlay." + mark, value));
  }
  Result<Marks> read(const char* name) const {
    return read_marks(sys::At(root_.get(), name), XattrNames(false), reporter_);
  }
  sys::At file() const { return sys::At(root_.get(), "dir/file"); }

  const test::TempDir dir_;
  const sys::UniqueFd root_{::open(dir_.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  test::Problems problems_;
  const Reporter reporter_;
};

TEST_F(DirMarks, ThatAreNotThereAreAbsent) {
  const auto marks = read("dir/file");
  ASSERT_TRUE(marks);
  EXPECT_FALSE(marks->metacopy || marks->opaque || marks->has_origin);
  EXPECT_THAT(problems_.told(), IsEmpty());
}

TEST_F(DirMarks, WithABrokenRedirectAreAnErrorWithItsReason) {
  set(file(), "redirect", std::string("up/../\x1b[2J"));
  EXPECT_EQ(read("dir/file").error(), Errno(EINVAL));
  EXPECT_THAT(problems_.told(),
              ElementsAre("/the/layer|dir/file|its trusted.overlay.redirect is not valid: "
                          "'up/../\\x1b[2J'|22"));
}

TEST_F(DirMarks, WithAnUnknownMetacopyAreAnErrorWithItsReason) {
  set(file(), "metacopy", "what is this");
  EXPECT_EQ(read("dir/file").error(), Errno(EIO));
  EXPECT_THAT(problems_.told(),
              ElementsAre("/the/layer|dir/file|its trusted.overlay.metacopy is not valid: "
                          "'what is this'|5"));
}

TEST_F(DirMarks, ThatAreBrokenAndHaveNoEffectAreTold) {
  set(sys::At(root_.get(), "dir"), "opaque", "n");
  set(file(), "origin", "nonsense");
  set(file(), "nlink", "many");
  set(file(), "protattr", "iz");
  EXPECT_FALSE(read("dir").value().opaque);
  ASSERT_TRUE(read("dir/file"));
  EXPECT_THAT(problems_.told(),
              testing::UnorderedElementsAre(
                  "/the/layer|dir|the value of its overlay.opaque is not understood|0",
                  "/the/layer|dir/file|its overlay.origin is not understood|0",
                  "/the/layer|dir/file|its overlay.nlink is not understood|0",
                  "/the/layer|dir/file|its overlay.protattr holds unknown letters|0"));
}

TEST_F(DirMarks, ThatAreSoundTellNothing) {
  set(sys::At(root_.get(), "dir"), "opaque", "y");
  set(file(), "origin", "");
  set(file(), "nlink", "U+1");
  set(file(), "protattr", "ai");
  set(file(), "redirect", "/dir/other");
  ASSERT_TRUE(read("dir"));
  ASSERT_TRUE(read("dir/file"));
  EXPECT_THAT(problems_.told(), IsEmpty());
}

// The daemon of an ordinary user cannot read a user.* xattr of a file that it may not read.
TEST_F(DirMarks, OfAnUnreadableFileStillSayThatItIsAMetacopy) {
  ASSERT_TRUE(sys::set_xattr(file(), "user.overlay.metacopy", ""));
  ASSERT_EQ(::chmod((dir_ / "dir/file").c_str(), 0), 0);
  ASSERT_EQ(::chmod(dir_.path().c_str(), 0755), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    if (::setresuid(65534, 65534, 65534) != 0) ::_exit(2);
    const auto marks = read_marks(file(), XattrNames(true), reporter_);
    ::_exit(marks && marks->metacopy ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST_F(DirMarks, AreNotAbsentWhereTheyCannotBeListed) {
  const auto marks = read_marks(sys::At(-1), XattrNames(false), reporter_);
  EXPECT_EQ(marks.error(), Errno(EBADF));
  EXPECT_THAT(problems_.told(), ElementsAre("/the/layer||its xattrs cannot be listed|9"));
}

TEST(AufsNames, AreLookedForByTheirWhiteout) {
  const test::TempDir dir;
  test::write_file(dir / ".wh.gone", "");
  const sys::UniqueFd fd(::open(dir.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  EXPECT_TRUE(has_aufs_whiteout(fd.get(), "gone").value());
  EXPECT_FALSE(has_aufs_whiteout(fd.get(), "here").value());
  EXPECT_FALSE(has_aufs_opaque(fd.get()).value());
  // Too long for a whiteout of it to be there.
  EXPECT_FALSE(has_aufs_whiteout(fd.get(), std::string(255, 'n')).value());
  EXPECT_EQ(has_aufs_whiteout(-1, "gone").error(), Errno(EBADF));
  EXPECT_EQ(has_aufs_opaque(-1).error(), Errno(EBADF));
}

}  // namespace
}  // namespace layerfs::layer
