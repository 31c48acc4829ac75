// The marks of chattr(1), of lower layers on every kind of file system.
#include <sys/xattr.h>

#include "tests/mount/beside_kernel.h"

namespace layerfs::test {
namespace {

// Makes files and directories to be marked. In the directory that a layer is made of.
constexpr const char* kFill =
    "for name in plain i a S A SA; do echo lower >f-$name; mkdir -p d-$name/empty; "
    "echo lower >d-$name/file; done";
// The marks that the layer's file system has.
constexpr const char* kMark =
    "for marks in i a S A SA; do chattr +$marks f-$marks d-$marks 2>/dev/null || true; done";

class MarksOf : public BesideKernel, public testing::WithParamInterface<const char*> {
 protected:
  // The directory of a new lower layer on what the parameter names.
  std::filesystem::path make_lower() {
    const std::string type = GetParam();
    if (type == "overlay-erofs") return overlay_over(image("erofs"));
    if (type == "overlay-ext4") return overlay_over(disk("ext4"));
    if (type == "fuse") {
      // With redirect_dir=on the kernel's overlayfs (Linux 6.18) answers ESTALE for what was copied
      // up from a FUSE file system, once the caches have been dropped.
      redirect_dir_ = false;
      return fuse_over(disk("ext4"));
    }
    if (type == "erofs" || type == "squashfs") return image(type);
    return disk(type);
  }

 private:
  std::filesystem::path image(const std::string& type) {
    fill(dir_.make("source"), kFill);
    return mount_new_image(dir_, type, dir_ / "source");
  }

  std::filesystem::path disk(const std::string& type) {
    // The uppers' file system may have the type as well.
    const auto root = mount_new_fs(other_, type);
    fill(root, kFill);
    fill(root, kMark);
    return root;
  }

  std::filesystem::path overlay_over(const std::filesystem::path& lower) {
    const auto root = dir_.make("inner");
    const std::string data = "lowerdir=" + lower.string() + ":" + dir_.make("nothing").string();
    EXPECT_EQ(::mount("overlay", root.c_str(), "overlay", 0, data.c_str()), 0);
    return root;
  }

  std::filesystem::path fuse_over(const std::filesystem::path& lower) {
    fuse::MountOptions options;
    options.stack.lowerdirs = {lower, dir_.make("nothing")};
    options.mountpoint = dir_.make("inner");
    inner_.emplace(options);
    return options.mountpoint;
  }

  static void fill(const std::filesystem::path& where, const std::string& script) {
    const Ran ran = shell(script, {.directory = where});
    EXPECT_TRUE(ran.ok()) << ran.err;
  }

  const TempDir other_;
  std::optional<LiveMount> inner_;
};

// What the kernel's overlayfs asks its layers decides, at the first change and at each later one.
TEST_P(MarksOf, HoldUpWhatTheKernelLetsThemHoldUp) {
  ASSERT_NO_FATAL_FAILURE(mount_over(make_lower()));
  expect_alike("lsattr -d *");
  expect_alike(
      "for file in f-*; do "
      "echo + >>$file; echo = >$file; chmod 640 $file; touch $file; touch -d @5 $file; "
      "ln $file $file.link; mv $file $file.moved; mv $file.moved $file; done");
  expect_alike(
      "for dir in d-*; do "
      "echo + >$dir/new; mkdir $dir/newdir; ln -s x $dir/link; echo = >$dir/file; "
      "mv $dir/file $dir/moved; rm $dir/moved; rmdir $dir/empty; chmod 750 $dir; touch $dir; "
      "mv $dir $dir.moved; mv $dir.moved $dir; done");
  expect_alike("ls -A * | sort; cat f-*");
}

TEST_P(MarksOf, ComeAlongWithACopyUp) {
  ASSERT_NO_FATAL_FAILURE(mount_over(make_lower()));
  expect_alike("for name in plain S A SA i; do echo + >>f-$name; echo + >d-$name/file; done");
  expect_alike("lsattr -d *");
  give_ours_to_kernel();
  expect_alike("lsattr -d *; chmod 640 f-* d-*");
}

INSTANTIATE_TEST_SUITE_P(Lowers, MarksOf,
                         testing::Values("erofs", "squashfs", "ext4", "xfs", "btrfs", "tmpfs",
                                         "overlay-erofs", "overlay-ext4", "fuse"),
                         [](const auto& lower) {
                           std::string name = lower.param;
                           for (char& letter : name)
                             if (letter == '-') letter = '_';
                           return name;
                         });

}  // namespace
}  // namespace layerfs::test
