// What an upper says of where its files came from is believed only as far as it is certain.
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/mount/either_union.h"

namespace layerfs::test {
namespace {

namespace fs = std::filesystem;

class Origins : public EitherUnion {
 protected:
  // A directory beside the upper.
  fs::path lower(const std::string& script, const std::string& name = "lower") const {
    fs::create_directory(disk_ / name);
    out(disk_ / name, script);
    return disk_ / name;
  }
};

TEST_P(Origins, ANewerImageShowsItsOwnFilesBelowAnOldUpper) {
  out("", "mkdir old new; echo old > old/a; ln old/a old/b");
  out("", "echo 'never written' > new/c; ln new/c new/d");
  const fs::path before = mount_image("squashfs", dir_ / "old", "before");
  const fs::path after = mount_image("squashfs", dir_ / "new", "after");
  Layers layers = writable({before});
  // The kernel itself takes the old index for the new image's.
  layers.options = is_kernel() ? "index=off" : "";
  mount(layers);
  out("mnt", "echo changed > a");
  unmount();
  layers.lowers = {after};
  mount(layers);
  EXPECT_EQ(cat("a") + cat("c") + cat("d"), "changed\nnever written\nnever written\n");
  out("mnt", "echo more >> c");
  EXPECT_EQ(cat("a") + cat("c"), "changed\nnever written\nmore\n");
  EXPECT_NE(identity("a"), identity("c"));
}

TEST_P(Origins, AnUpperOverAnotherLowerKeepsToItself) {
  Layers layers = writable({lower("echo one > a; echo two > b; ln b c", "first")});
  layers.options = "index=off";
  mount(layers);
  out("mnt", "echo changed > a; echo written > b");
  unmount();
  // The same inodes under other names, and a copy of them.
  layers.lowers = {lower("mv ../first/a d; ln d e; mv ../first/b f; mv ../first/c g", "second")};
  mount(layers);
  const std::string all = "cat a b d e f g";
  EXPECT_EQ(out("mnt", all), "changed\nwritten\none\none\ntwo\ntwo\n");
  out("mnt", "echo more >> d; echo more >> f; echo other > a");
  EXPECT_EQ(cat("a") + cat("b") + cat("d") + cat("f"), "other\nwritten\none\nmore\ntwo\nmore\n");
  for (const char* name : {"d", "f", "g"}) EXPECT_NE(identity("a"), identity(name)) << name;
}

TEST_P(Origins, AnUpperOverAnotherLowerKeepsToItselfWithTheIndexOn) {
  Layers layers = writable({lower("echo one > a; echo two > b; ln b c", "first")});
  mount(layers);
  out("mnt", "echo changed > a; echo written > b");
  unmount();
  layers.lowers = {lower("mv ../first/a d; ln d e; mv ../first/b f; mv ../first/c g", "second")};
  const Ran again = try_mount(layers);
  if (is_kernel()) {
    EXPECT_THAT(again.err, testing::HasSubstr("Stale file handle"));
    return;
  }
  if (!again.ok()) return;
  EXPECT_EQ(out("mnt", "cat a b d e f g"), "changed\nwritten\none\none\ntwo\ntwo\n");
  out("mnt", "echo more >> d; echo more >> f; echo other > a");
  EXPECT_EQ(cat("a") + cat("b") + cat("d") + cat("f"), "other\nwritten\none\nmore\ntwo\nmore\n");
}

TEST_P(Origins, LinkedFilesOfALowerWithoutHandlesKeepWhatWasWritten) {
  lower("mkdir a b; echo old > a/0; ln a/0 b/1");
  out(disk_, "mkdir empty stacked; mount -t overlay overlay -o lowerdir=lower:empty stacked");
  const Layers layers = writable({disk_ / "stacked"});
  mount(layers);
  out("mnt", "echo x >> a/0; echo precious >> b/1");
  const std::string seen = cat("a/0") + cat("b/1");
  EXPECT_EQ(seen, "old\nx\nold\nprecious\n");
  remount(layers);
  EXPECT_EQ(cat("a/0") + cat("b/1"), seen);
  out("mnt", "echo y >> a/0");
  EXPECT_EQ(cat("a/0") + cat("b/1"), "old\nx\ny\nold\nprecious\n");
}

TEST_P(Origins, LinkedSymlinksAndPipesStayAsTheyWereLeftWithUserXattrs) {
  Layers layers = writable({lower("mkdir a b; ln -s t a/s; ln a/s b/s; mkfifo a/p; ln a/p b/p")});
  layers.options = "userxattr";
  mount(layers);
  out("mnt", "chown -h 1 a/s; chown -h 2 b/s; chmod 600 a/p; chmod 640 b/p");
  const std::string look = "stat -c '%n %F %u %a %h' a/s b/s a/p b/p";
  const std::string seen = out("mnt", look);
  remount(layers);
  EXPECT_EQ(out("mnt", look), seen);
  out("mnt", "chown -h 3 a/s; chmod 644 a/p");
  const std::string changed = out("mnt", look);
  remount(layers);
  EXPECT_EQ(out("mnt", look), changed);
}

TEST_P(Origins, ALinkAddedToACopiedFileIsAnotherFile) {
  for (const std::string options : {"index=on", "index=off"}) {
    const std::string own = options == "index=on" ? "on" : "off";
    Layers layers{{lower("echo old > 0", own)}, disk_ / ("u" + own), disk_ / ("w" + own), options};
    out(disk_, "mkdir u" + own + " w" + own);
    mount(layers);
    out("mnt", "echo changed > 0");
    unmount();
    out(disk_ / own, "ln 0 2");
    mount(layers);
    EXPECT_EQ(cat("0") + cat("2"), "changed\nold\n") << options;
    out("mnt", "echo new > 0");
    EXPECT_EQ(cat("0") + cat("2"), "new\nold\n") << options;
    out("mnt", "cat 2 0 > /dev/null; echo more >> 2");
    EXPECT_EQ(cat("0") + cat("2"), "new\nold\nmore\n") << options;
    unmount();
  }
}

TEST_P(Origins, AWorkDirectoryOfAnotherUpperLendsNoFiles) {
  out(disk_, "mkdir upper-2");
  Layers layers = writable({lower("echo old > 0; ln 0 1")});
  mount(layers);
  out("mnt", "echo secret > 0");
  unmount();
  layers.upper = disk_ / "upper-2";
  const Ran again = try_mount(layers);
  EXPECT_FALSE(is_kernel() && again.ok());
  if (!again.ok()) return;
  EXPECT_EQ(cat("0") + cat("1"), "old\nold\n");
  out("mnt", "echo new > 1");
  EXPECT_EQ(read_file(disk_ / "upper/0"), "secret\n");
}

TEST_P(Origins, ACopyOfAnUpperFileIsAnotherFile) {
  const Layers layers = writable({lower("echo old > f; chmod 600 f; echo two > h; ln h i")});
  mount(layers);
  out("mnt", "echo changed > f; echo changed > h");
  unmount();
  out(disk_ / "upper", "cp -a f g; cp -a h j; echo other > g; echo other > j");
  mount(layers);
  if (is_kernel()) {
    EXPECT_THAT(in("mnt", "cat f g").err, testing::HasSubstr("Stale file handle"));
    return;
  }
  EXPECT_EQ(cat("f") + cat("g") + cat("h") + cat("j"), "changed\nother\nchanged\nother\n");
  EXPECT_FALSE(in("mnt", "diff -q f g").ok());
  EXPECT_FALSE(in("mnt", "diff -q h j").ok());
  EXPECT_NE(identity("f"), identity("g"));
  EXPECT_NE(identity("h"), identity("j"));
  out("mnt", "echo new > g; echo new > j");
  EXPECT_EQ(cat("f") + cat("g") + cat("h") + cat("j"), "changed\nnew\nchanged\nnew\n");
}

TEST_P(Origins, ABrokenLinkHasANumberOfItsOwn) {
  Layers layers = writable({lower("echo old > 0; ln 0 1")});
  layers.options = "index=off";
  mount(layers);
  EXPECT_EQ(identity("0"), identity("1"));
  out("mnt", "echo changed > 0");
  EXPECT_NE(identity("0"), identity("1"));
  const std::string archive =
      "rm -rf /tmp/$$; mkdir /tmp/$$; tar cf - 0 1 | tar xf - -C /tmp/$$; "
      "cat /tmp/$$/0 /tmp/$$/1; rm -r /tmp/$$";
  EXPECT_EQ(out("mnt", archive), "changed\nold\n");
  remount(layers);
  EXPECT_EQ(out("mnt", archive), "changed\nold\n");
}

INSTANTIATE_TEST_SUITE_P(Over, Origins, testing::Values("overlay", "layerfs"),
                         [](const auto& over) { return std::string(over.param); });

}  // namespace
}  // namespace layerfs::test
