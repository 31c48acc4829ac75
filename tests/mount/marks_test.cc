// The marks of chattr(1), of lower layers on every kind of file system.
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <functional>
#include <vector>

#include "fs/sys/unique_fd.h"
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

class MarksOnTmpfs : public BesideKernel {
 protected:
  MarksOnTmpfs() : BesideKernel("tmpfs") {}
};

// tmpfs knows no +S. The kernel's overlayfs does not copy up what has it.
TEST_F(MarksOnTmpfs, WhatTheUpperCannotKeepIsNoReasonToFail) {
  const auto lower = mount_new_fs(dir_, "ext4");
  write_file(lower / "file", "lower");
  ASSERT_TRUE(run({"chattr", "+SA", lower / "file"}).ok());
  ASSERT_NO_FATAL_FAILURE(mount_over(lower));
  EXPECT_EQ(told(kernel_, "chmod 600 file"),
            "chmod: changing permissions of 'file': Operation not supported\n");
  EXPECT_EQ(told(ours_, "chmod 600 file; lsattr file | tr -d -"), "A file\n");
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

// Changes through the descriptor `fd` of a file, some of them with data from `from`.
struct Change {
  const char* name;
  std::function<long(int fd, int from)> make;
};

long reopen(int fd, int flags) {
  const sys::UniqueFd again(open(("/proc/self/fd/" + std::to_string(fd)).c_str(), flags));
  return again ? 0 : -1;
}

long splice_into(int fd, int from) {
  int ends[2];
  if (pipe(ends) != 0) return -1;
  const sys::UniqueFd out(ends[0]), in(ends[1]);
  off_t from_start = 0, start = 0;
  if (splice(from, &from_start, in.get(), nullptr, 4, 0) != 4) return -1;
  return splice(out.get(), nullptr, fd, &start, 4, 0);
}

long copy_into(int fd, int from) {
  off_t from_start = 0, start = 0;
  return copy_file_range(from, &from_start, fd, &start, 4, 0);
}

const std::vector<Change> kChanges = {
    {"write", [](int fd, int) { return pwrite(fd, "w", 1, 0); }},
    {"sendfile",
     [](int fd, int from) {
       off_t start = 0;
       return sendfile(fd, from, &start, 4);
     }},
    {"splice", splice_into},
    {"copy_file_range", copy_into},
    {"clone", [](int fd, int from) { return ioctl(fd, FICLONE, from); }},
    {"fallocate", [](int fd, int) { return fallocate(fd, 0, 0, 9000); }},
    {"reserve", [](int fd, int) { return fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 20000); }},
    {"punch",
     [](int fd, int) { return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 1); }},
    {"zero", [](int fd, int) { return fallocate(fd, FALLOC_FL_ZERO_RANGE, 0, 1); }},
    {"ftruncate", [](int fd, int) { return ftruncate(fd, 8000); }},
    {"fchmod", [](int fd, int) { return fchmod(fd, 0600); }},
    {"fchown", [](int fd, int) { return fchown(fd, 1, 1); }},
    {"touch", [](int fd, int) { return futimens(fd, nullptr); }},
    {"futimens",
     [](int fd, int) {
       const timespec times[2] = {{.tv_sec = 1, .tv_nsec = 0}, {.tv_sec = 1, .tv_nsec = 0}};
       return futimens(fd, times);
     }},
    {"fsetxattr", [](int fd, int) { return fsetxattr(fd, "user.a", "b", 1, 0); }},
    {"fremovexattr", [](int fd, int) { return fremovexattr(fd, "user.b"); }},
    {"open to write", [](int fd, int) { return reopen(fd, O_WRONLY); }},
    {"open to append", [](int fd, int) { return reopen(fd, O_WRONLY | O_APPEND); }},
    {"open to truncate", [](int fd, int) { return reopen(fd, O_WRONLY | O_TRUNC); }},
};

void set_mark(const std::filesystem::path& file, int mark) {
  const sys::UniqueFd fd(open(file.c_str(), O_RDONLY));
  int marks = 0;
  EXPECT_EQ(ioctl(fd.get(), FS_IOC_GETFLAGS, &marks), 0) << file;
  marks = (marks & ~(FS_APPEND_FL | FS_IMMUTABLE_FL)) | mark;
  EXPECT_EQ(ioctl(fd.get(), FS_IOC_SETFLAGS, &marks), 0) << file;
}

// What comes of each change through a descriptor that was there before `mark`.
std::string changes_of_held(const std::filesystem::path& file, int flags, int mark) {
  const sys::UniqueFd from(open((file.parent_path() / "source").c_str(), O_RDONLY));
  const sys::UniqueFd fd(open(file.c_str(), flags));
  EXPECT_EQ(fsetxattr(fd.get(), "user.b", "c", 1, 0), 0) << file;
  set_mark(file, mark);
  std::string told;
  for (const Change& change : kChanges) {
    const bool done = change.make(fd.get(), from.get()) >= 0;
    told += std::string(change.name) + ": " + (done ? "done" : strerrorname_np(errno)) + "\n";
  }
  set_mark(file, 0);
  return told;
}

TEST_F(BesideKernel, AMarkHoldsUpHeldDescriptorsAsTheKernelDoes) {
  write_file(scratch_ / "lower/copied", std::string(10000, 'l'));
  write_file(scratch_ / "lower/source", std::string(10000, 's'));
  ASSERT_NO_FATAL_FAILURE(mount_over(scratch_ / "lower"));
  for (const Side* side : {&kernel_, &ours_})
    write_file(side->root / "new", std::string(10000, 'n'));
  for (const int mark : {FS_IMMUTABLE_FL, FS_APPEND_FL})
    for (const int flags : {O_RDWR, O_RDWR | O_APPEND})
      for (const char* name : {"copied", "new"})
        EXPECT_EQ(changes_of_held(ours_.root / name, flags, mark),
                  changes_of_held(kernel_.root / name, flags, mark))
            << name << " flags " << flags << " mark " << mark;
}

}  // namespace
}  // namespace layerfs::test
