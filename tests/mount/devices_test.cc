// Files of layers that lie on several file systems, or on file systems that number alike, are never
// taken for one another.
#include <cstdint>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/mount/either_union.h"
#include "tests/support/loop_fs.h"

namespace layerfs::test {
namespace {

namespace fs = std::filesystem;

// Two names of a file with the content of `text`, in a new directory.
std::string twins(const std::string& dir, const std::string& text) {
  return "mkdir -p " + dir + "; echo " + text + " > " + dir + "/x; ln " + dir + "/x " + dir +
         "/y\n";
}

class Devices : public EitherUnion {
 protected:
  static ino_t raw_number(const fs::path& file) {
    struct stat attr = {};
    EXPECT_EQ(::lstat(file.c_str(), &attr), 0) << file;
    return attr.st_ino;
  }

  // a/x and a/y are names of one file, b/x and b/y of another.
  void expect_two_files() const {
    EXPECT_EQ(identity("a/x"), identity("a/y"));
    EXPECT_EQ(identity("b/x"), identity("b/y"));
    expect_different({"a/x", "b/x"});
  }

  // Kernel overlayfs shows the numbers of a layer as they are, whatever file systems are below it.
  void expect_different(const std::vector<std::string>& names) const {
    std::set<std::string> known;
    for (const std::string& name : names) known.insert(identity(name));
    EXPECT_TRUE((is_kernel() && !kernel_tells_apart_) || known.size() == names.size());
  }

  // Writes one of them, then the other, with which the first must not change.
  void expect_apart(const Layers& layers) const {
    mount(layers);
    expect_two_files();
    EXPECT_EQ(cat("a/x") + cat("b/x"), "A\nB\n");
    out("mnt", "echo changed > b/x");
    EXPECT_EQ(cat("a/x") + cat("a/y") + cat("b/x"), "A\nA\nchanged\n");
    out("mnt", "echo written >> a/y");
    EXPECT_EQ(cat("a/y") + cat("b/x"), "A\nwritten\nchanged\n");
    const std::string seen = out("mnt", "cat a/x a/y b/x b/y");
    remount(layers);
    EXPECT_EQ(out("mnt", "cat a/x a/y b/x b/y"), seen);
    expect_different({"a/x", "b/x"});
    expect_different({"a/y", "b/x"});
    expect_different({"a/y", "b/y"});
  }

  void expect_images_apart(const std::string& type) const {
    out("", twins("ta/a", "A") + twins("tb/b", "B"));
    const fs::path a = mount_image(type, dir_ / "ta", "la"),
                   b = mount_image(type, dir_ / "tb", "lb");
    ASSERT_EQ(raw_number(a / "a/x"), raw_number(b / "b/x"));
    expect_apart(writable({a, b}));
  }

  // Two file systems that number alike, with a/x and b/x.
  std::vector<fs::path> two_file_systems() const {
    std::vector<fs::path> made;
    for (const std::string name : {"a", "b"}) {
      made.push_back(dir_.make("disk-" + name));
      out("", "truncate -s 64M " + name + ".img; mkfs.ext4 -Fq " + name + ".img; mount -o loop " +
                  name + ".img disk-" + name);
      out("disk-" + name, twins(name, name == "a" ? "A" : "B"));
    }
    EXPECT_EQ(raw_number(made[0] / "a/x"), raw_number(made[1] / "b/x"));
    return made;
  }

  fs::path btrfs() const { return mount_new_fs(dir_, "btrfs", 400 << 20); }

  bool kernel_tells_apart_ = true;
};

TEST_P(Devices, FilesOfTwoSquashfsImagesStayTwo) { expect_images_apart("squashfs"); }

TEST_P(Devices, FilesOfTwoErofsImagesStayTwo) { expect_images_apart("erofs"); }

TEST_P(Devices, FilesOfTwoExt4StayTwo) { expect_apart(writable(two_file_systems())); }

TEST_P(Devices, AFileSystemAndItsCopyStayTwo) {
  out("",
      "truncate -s 64M one.img; mkfs.ext4 -Fq one.img; mkdir one two; mount -o loop one.img one");
  out("one", twins("a", "A"));
  out("", "umount one; cp one.img two.img; mount -o loop one.img one; mount -o loop two.img two");
  out("two", "mv a b; echo B > b/x");
  ASSERT_EQ(raw_number(dir_ / "one/a/x"), raw_number(dir_ / "two/b/x"));
  expect_apart(writable({dir_ / "one", dir_ / "two"}));
}

TEST_P(Devices, LinkedFilesOfBtrfsSubvolumesKeepContentAndNumbers) {
  const fs::path disk = btrfs();
  out(disk, "btrfs -q subvolume create low; btrfs -q subvolume create up; mkdir up/u up/w");
  out(disk / "low", "for i in $(seq 40); do echo old$i > f$i; ln f$i g$i; done");
  const Layers layers{{disk / "low"}, disk / "up/u", disk / "up/w"};
  mount(layers);
  std::vector<ino_t> before;
  for (int i = 1; i <= 40; ++i) before.push_back(attr("f" + std::to_string(i)).st_ino);
  out("mnt", "for i in $(seq 40); do echo changed$i > f$i; echo new$i > n$i; ln n$i m$i; done");
  int numbers = 0, wrong = 0;
  for (int pass = 0; pass < 2; ++pass) {
    for (int i = 1; i <= 40; ++i) {
      const std::string at = std::to_string(i), changed = "changed" + at + "\n";
      wrong += cat("f" + at) != changed;
      wrong += cat("g" + at) != changed;
      wrong += cat("n" + at) != "new" + at + "\n";
      wrong += cat("m" + at) != "new" + at + "\n";
      numbers += attr("f" + at).st_ino != before[static_cast<std::size_t>(i - 1)];
    }
    if (pass == 0) remount(layers);
  }
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(numbers, 0);
}

TEST_P(Devices, FilesOfTwoSnapshotsStayTwo) {
  kernel_tells_apart_ = false;
  const fs::path disk = btrfs();
  out(disk, "btrfs -q subvolume create one; " + twins("one/a", "A"));
  out(disk, "btrfs -q subvolume snapshot one two; mv two/a two/b; echo B > two/b/x; mkdir u w");
  ASSERT_EQ(raw_number(disk / "one/a/x"), raw_number(disk / "two/b/x"));
  expect_apart({{disk / "one", disk / "two"}, disk / "u", disk / "w"});
}

TEST_P(Devices, FilesOfTwoSnapshotsBelowAnotherFileSystemStayTwo) {
  kernel_tells_apart_ = false;
  const fs::path disk = btrfs();
  out(disk, "btrfs -q subvolume create one; " + twins("one/a", "A"));
  out(disk, "btrfs -q subvolume snapshot one two; mv two/a two/b; echo B > two/b/x");
  expect_apart(writable({disk / "one", disk / "two"}));
}

TEST_P(Devices, FilesOfNestedSubvolumesInOneLayerStayTwo) {
  kernel_tells_apart_ = false;
  const fs::path disk = btrfs();
  out(disk, "mkdir low; btrfs -q subvolume create low/a; btrfs -q subvolume create low/b");
  out(disk / "low", twins("a", "A") + twins("b", "B"));
  ASSERT_EQ(raw_number(disk / "low/a/x"), raw_number(disk / "low/b/x"));
  expect_apart(writable({disk / "low"}));
}

TEST_P(Devices, FilesOfAnOverlayOverTwoFileSystemsStayTwo) {
  kernel_tells_apart_ = false;
  const std::vector<fs::path> two = two_file_systems();
  const fs::path lower = dir_.make("lower");
  out("", "mount -t overlay overlay -o lowerdir=disk-a:disk-b lower");
  ASSERT_EQ(raw_number(lower / "a/x"), raw_number(lower / "b/x"));
  expect_apart(writable({lower}));
}

TEST_P(Devices, FilesOfAFuseOverlayfsOverTwoFileSystemsStayTwo) {
  kernel_tells_apart_ = false;
  const std::vector<fs::path> two = two_file_systems();
  const fs::path lower = dir_.make("lower");
  out("", "fuse-overlayfs -o lowerdir=disk-a:disk-b lower >/dev/null 2>&1");
  expect_apart(writable({lower}));
}

TEST(DevicesIndexed, AnIndexOfAFuseOverlayfsOverTwoFileSystemsHasBothFiles) {
  const TempDir dir;
  for (const char* name : {"a", "b", "lower", "mnt"}) dir.make(name);
  const Ran ran = shell(
      "for n in a b; do truncate -s 64M $n.img; mkfs.ext4 -Fq $n.img; mount -o loop $n.img $n; "
      "mkdir $n/$n; done; echo short > a/a/x; ln a/a/x a/a/y; echo 'a longer one' > b/b/x; "
      "ln b/b/x b/b/y; fuse-overlayfs -o lowerdir=a:b lower >/dev/null 2>&1; "
      "test $(stat -c %i lower/a/x) = $(stat -c %i lower/b/x); " +
          layerfs_program() + " index lower index; " + layerfs_program() +
          " mount -o ro,passthrough=none,lowerdir=lower,layerindex=index mnt; cat mnt/a/x mnt/a/y "
          "mnt/b/x mnt/b/y; "
          "umount mnt lower; umount a b",
      {.directory = dir.path()});
  EXPECT_TRUE(ran.ok()) << ran.err;
  EXPECT_EQ(ran.out, "short\nshort\na longer one\na longer one\n") << ran.err;
}

TEST_P(Devices, FilesOfALayerfsOverTwoFileSystemsStayTwo) {
  const std::vector<fs::path> two = two_file_systems();
  const fs::path lower = dir_.make("lower");
  out("", layerfs_program() + " mount -o lowerdir=disk-a:disk-b lower");
  expect_apart(writable({lower}));
}

TEST_P(Devices, FilesOfLayerfsOnLayerfsStayTwo) {
  const std::vector<fs::path> two = two_file_systems();
  // With passthrough the kernel would count layers upon layers, and allow no third.
  dir_.make("inner"), dir_.make("middle");
  out("", layerfs_program() + " mount -o passthrough=none,lowerdir=disk-a:disk-b inner");
  out("", layerfs_program() + " mount -o passthrough=none,lowerdir=inner:fs-ext4 middle");
  expect_apart(writable({dir_ / "middle"}));
}

TEST_P(Devices, WithoutXinoNumbersFitIn32Bits) {
  Layers layers = writable(two_file_systems());
  layers.options = "index=on,xino=off";
  mount(layers);
  out("mnt", "echo changed > a/x; echo new > new; chmod 600 b");
  for (const char* name : {".", "a", "a/x", "a/y", "b", "b/x", "b/y", "new"})
    EXPECT_LE(attr(name).st_ino, std::numeric_limits<std::uint32_t>::max()) << name;
}

TEST_P(Devices, FilesOfManySubvolumesInOneLayerStayMany) {
  kernel_tells_apart_ = false;
  const fs::path disk = btrfs();
  out(disk,
      "mkdir low; for i in $(seq 300); do btrfs -q subvolume create low/$i; echo $i > low/$i/x; "
      "done");
  const Layers layers = writable({disk / "low"});
  mount(layers);
  std::vector<std::string> files;
  for (int i = 1; i <= 300; ++i) files.push_back(std::to_string(i) + "/x");
  expect_different(files);
  out("mnt", "for i in $(seq 300); do echo changed >> $i/x; done");
  expect_different(files);
  int wrong = 0;
  for (int i = 1; i <= 300; ++i)
    wrong += cat(files[static_cast<std::size_t>(i - 1)]) != std::to_string(i) + "\nchanged\n";
  EXPECT_EQ(wrong, 0);
}

INSTANTIATE_TEST_SUITE_P(Over, Devices, testing::Values("overlay", "layerfs"),
                         [](const auto& over) { return std::string(over.param); });

}  // namespace
}  // namespace layerfs::test
