// What people do in a container, in a chroot of a mount of a real image.
#include <filesystem>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/e2e/layerfs.h"

namespace layerfs::test {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class Chroot : public ::testing::Test {
 protected:
  void SetUp() override {
    const Ran ran = layerfs_({"import", real_images() / "layout", "--name", "demo"});
    ASSERT_TRUE(ran.ok()) << ran.err;
    lower_before_ = lower_checksum();
    root_ = layerfs_.mount({"--snapshot", "work", "demo"});
    ASSERT_TRUE(shell("for d in proc sys dev; do mkdir -p $0/$d; mount --rbind /$d $0/$d; done; "
                      "cat /etc/resolv.conf > $0/etc/resolv.conf; echo hosts: files dns > "
                      "$0/etc/nsswitch.conf",
                      root_)
                    .ok());
  }

  void TearDown() override {
    shell("for d in proc sys dev; do umount -l $0/$d; done", root_);
    layerfs_.unmount(root_);
    EXPECT_EQ(lower_checksum(), lower_before_) << "a lower layer was written to";
  }

  // A script in /bin/sh -e with $0 set to `argument`.
  static Ran shell(const std::string& script, const std::string& argument) {
    return run({"/bin/sh", "-e", "-c", script, argument});
  }

  Ran in_chroot(const std::string& script) const {
    return run({"chroot", root_, "/bin/sh", "-e", "-c", script},
               {.environment = {"DEBIAN_FRONTEND=noninteractive", "HOME=/root", "TMPDIR=/tmp",
                                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                                "LC_ALL=C"},
                .timeout_seconds = 600});
  }

  // Names, sizes, modes, owners and times of all unpacked layers.
  std::string lower_checksum() const {
    return shell("cd $0/layers; find . -printf '%p %s %m %U %G %T@ %y\n' | sort | sha256sum",
                 layerfs_.store())
        .out;
  }

  Layerfs layerfs_;
  fs::path root_;
  std::string lower_before_;
};

// A package manager, a compiler and git do in one test what each of them needs from the one before.
TEST_F(Chroot, InstallsPackagesClonesAndCompiles) {
  const Ran install = in_chroot(
      "apt-get -q update; apt-get -q install -y --no-install-recommends git gcc libc6-dev");
  ASSERT_TRUE(install.ok()) << install.out << install.err;
  EXPECT_TRUE(in_chroot("dpkg --audit; dpkg -V gcc git libc6-dev | grep -v /usr/share/doc || true")
                  .out.empty());

  const Ran clone = in_chroot(
      "export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b;"
      "git init -q /srv/origin; cd /srv/origin; cp -r /usr/include/linux /etc/apt .;"
      "printf '#include <stdio.h>\\nint main(void) { puts(\"compiled\"); }\\n' > main.c;"
      "git add .; git commit -qm one; git clone -q /srv/origin /srv/clone; cd /srv/clone;"
      "git fsck --strict; git status --porcelain; git ls-files | wc -l");
  EXPECT_TRUE(clone.ok()) << clone.err;
  EXPECT_GT(std::stoi("0" + clone.out), 500) << clone.out;

  const Ran compile = in_chroot("cd /srv/clone; gcc -O2 -g -o main main.c; ./main");
  EXPECT_TRUE(compile.ok()) << compile.err;
  EXPECT_EQ(compile.out, "compiled\n");

  const Ran purge = in_chroot("apt-get -q purge -y --auto-remove git; ! which git; dpkg --audit");
  EXPECT_TRUE(purge.ok()) << purge.out << purge.err;
}

TEST_F(Chroot, RemovesALowerTree) {
  const Ran ran = in_chroot(
      "find /usr/share | wc -l; rm -rf /usr/share/* /opt; ls -A /usr/share; test ! -e /opt;"
      "mkdir /opt; ls -A /opt");
  EXPECT_TRUE(ran.ok()) << ran.err;
  EXPECT_GT(std::stoi("0" + ran.out), 1000);
  EXPECT_EQ(ran.out.find('\n'), ran.out.size() - 1) << "names are left: " << ran.out;
}

TEST_F(Chroot, WhatWasDoneIsThereAfterARemount) {
  ASSERT_TRUE(in_chroot("rm -r /usr/share/zoneinfo; mkdir /usr/share/zoneinfo; echo new > "
                        "/usr/share/zoneinfo/UTC; echo changed >> /etc/debian_version")
                  .ok());
  const std::string script =
      "cd /; ls -A usr/share/zoneinfo; cat usr/share/zoneinfo/UTC etc/debian_version";
  const Ran before = in_chroot(script);
  EXPECT_THAT(before.out, HasSubstr("changed"));
  shell("for d in proc sys dev; do umount -l $0/$d; done", root_);
  layerfs_.unmount(root_);
  root_ = layerfs_.mount({"--snapshot", "work"});
  EXPECT_EQ(in_chroot(script).out, before.out);
}

}  // namespace
}  // namespace layerfs::test
