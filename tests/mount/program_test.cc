// The commands that mount, list and unmount, as a person or a container runtime calls them.
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/mount/program_fixture.h"
#include "tests/support/command.h"
#include "tests/support/idmapped.h"
#include "tests/support/temp_dir.h"

namespace layerfs::test {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class Program : public ProgramFixture {
 protected:
  // The line of `layerfs ps --json` about our mount point; null if there is none.
  json listed() const {
    json found;
    const Ran ran = layerfs({"ps", "--json"});
    for (const json& mount : json::parse(ran.out)) {
      if (mount.at("mountpoint") == mnt_) found = mount;
    }
    return found;
  }
};

TEST_F(Program, MountsDirectoriesAndUnmounts) {
  mount(writable());
  EXPECT_EQ(read_file(mnt_ + "/file"), "from a");
  EXPECT_EQ(read_file(mnt_ + "/other"), "from b");
  write_file(mnt_ + "/new", "text");
  EXPECT_EQ(read_file(dir_ / "upper/new"), "text");
  EXPECT_EQ(layerfs({"umount", mnt_}).status, 0);
  EXPECT_FALSE(is_mounted());
}

TEST_F(Program, UmountReturnsWhenTheDaemonHasEnded) {
  mount(writable());
  const pid_t daemon = listed().at("pid");
  EXPECT_TRUE(runs(daemon));
  EXPECT_EQ(layerfs({"umount", mnt_}).status, 0);
  EXPECT_FALSE(runs(daemon));
}

TEST_F(Program, WithoutAnUpperNothingCanBeWritten) {
  mount(lower());
  EXPECT_EQ(mkdir((mnt_ + "/new").c_str(), 0755), -1);
  EXPECT_EQ(errno, EROFS);
}

TEST_F(Program, ReadOnlyHoldsWithAnUpperToo) {
  ASSERT_EQ(layerfs({"mount", "--read-only", "-o", writable(), mnt_}).status, 0);
  EXPECT_EQ(mkdir((mnt_ + "/new").c_str(), 0755), -1);
  EXPECT_EQ(errno, EROFS);
}

TEST_F(Program, RelativePathsAreThoseOfTheCaller) {
  const Ran ran = layerfs({"mount", "-o", "lowerdir=a:b,upperdir=upper,workdir=work", "mnt"},
                          {.directory = dir_.path()});
  ASSERT_EQ(ran.status, 0) << ran.err;
  EXPECT_EQ(read_file(mnt_ + "/file"), "from a");
  EXPECT_EQ(listed().at("upperdir"), path_of("upper"));
}

TEST_F(Program, NamesWithColonsAndCommasAreEscaped) {
  write_file(dir_ / "c:d,e/file", "odd");
  mount(fmt::format(R"(lowerdir={}/c\:d\,e)", dir_.path().string()));
  EXPECT_EQ(read_file(mnt_ + "/file"), "odd");
}

TEST_F(Program, TheDaemonHoldsNothingOfItsCaller) {
  mount(writable());
  const std::string proc = fmt::format("/proc/{}", listed().at("pid").get<pid_t>());
  for (const std::string standard : {"0", "1", "2"}) {
    EXPECT_EQ(std::filesystem::read_symlink(proc + "/fd/" + standard), "/dev/null");
  }
  EXPECT_EQ(std::filesystem::read_symlink(proc + "/cwd"), "/");
}

// podman's and buildah's mount_program: working directory, doubled and trailing commas, options of
// fuse-overlayfs and SELinux, standard error read to its end.
TEST_F(Program, IsAMountProgramForPodman) {
  const Ran ran = layerfs({"-o",
                           "lowerdir=a:b,upperdir=upper,workdir=work,,volatile,metacopy=on,"
                           "context=\"system_u:object_r:t:s0:c1,c2\",",
                           mnt_},
                          {.directory = dir_.path(), .timeout_seconds = 20});
  ASSERT_EQ(ran.status, 0) << ran.err;
  EXPECT_THAT(ran.err, IsEmpty());
  EXPECT_EQ(read_file(mnt_ + "/file"), "from a");
  EXPECT_EQ(shell("fusermount3 -u " + mnt_).status, 0);
  EXPECT_FALSE(is_mounted());
}

TEST_F(Program, AVolatileUpperIsUsedAgainUntilTheSystemIsStartedAnew) {
  const std::string options =
      lower() + ",upperdir=" + dir_.make("u").string() + ",workdir=" + dir_.make("w").string();
  const std::string mark = dir_.path().string() + "/w/work/incompat/volatile";
  for (const std::string how : {",volatile", ",volatile", ""}) {
    const Ran ran = layerfs({"-o", options + how, mnt_});
    ASSERT_EQ(ran.status, 0) << ran.err;
    ASSERT_EQ(layerfs({"umount", mnt_}).status, 0);
    EXPECT_EQ(std::filesystem::exists(mark), how == ",volatile");
  }
}

// As containers-storage does before it mounts again.
TEST_F(Program, AVolatileUpperIsUsedAgainWhenItsMarkIsRemoved) {
  const std::string options =
      lower() + ",upperdir=" + dir_.make("u").string() + ",workdir=" + dir_.make("w").string();
  dir_.make("w/work/incompat");
  EXPECT_EQ(layerfs({"-o", options, mnt_}).status, 0);
}

TEST_F(Program, AVolatileUpperOfAnotherBootOrOfTheKernelIsRefused) {
  const std::string options =
      lower() + ",upperdir=" + dir_.make("u").string() + ",workdir=" + dir_.make("w").string();
  for (const std::string mark : {"volatile", "volatile/boot-another"}) {
    dir_.make("w/work/incompat/" + mark);
    for (const std::string how : {",volatile", ""}) {
      const Ran ran = layerfs({"-o", options + how, mnt_});
      EXPECT_EQ(ran.status, 1);
      EXPECT_THAT(ran.err, HasSubstr("volatile"));
      EXPECT_FALSE(is_mounted());
    }
  }
}

TEST_F(Program, UnknownOptionsAreWarnedOf) {
  const Ran ran = layerfs({"-o", lower() + ",squash_to_nobody=5", mnt_});
  EXPECT_EQ(ran.status, 0);
  EXPECT_THAT(ran.err, HasSubstr("'squash_to_nobody=5'"));
}

// As podman 4.3 does it with --uidmap: it maps the layers, and asks for the mapping besides.
TEST_F(Program, LayersOnIdmappedMountsAreNotMappedAgain) {
  const std::string layer = (dir_.make("layer")).string(), mapped = dir_.make("mapped").string();
  write_file(layer + "/file", "x");
  ASSERT_TRUE(idmapped_bind(layer, mapped, "0 100000 65536"));
  ASSERT_EQ(shell("stat -c '%u %g' " + mapped + "/file").out, "100000 100000\n");
  ASSERT_EQ(
      layerfs(
          {"-o", "uidmapping=:0:100000:65536,gidmapping=:0:100000:65536,lowerdir=" + mapped, mnt_})
          .status,
      0);
  EXPECT_EQ(shell("stat -c '%u %g' " + mnt_ + "/file").out, "100000 100000\n");
  EXPECT_EQ(shell("umount " + mapped).status, 0);
}

// How containerd mounts a type of "fuse3.layerfs".
TEST_F(Program, IsAHelperOfMountFuse) {
  const Ran ran = shell(fmt::format(
      "PATH={}:$PATH mount.fuse3 overlay {} -o {},dev,suid,noatime -t layerfs",
      std::filesystem::path(layerfs_program()).parent_path().string(), mnt_, writable()));
  ASSERT_EQ(ran.status, 0) << ran.err;
  EXPECT_EQ(read_file(mnt_ + "/file"), "from a");
  EXPECT_THAT(shell("grep ' " + mnt_ + " ' /proc/self/mounts").out,
              testing::AllOf(HasSubstr("overlay "), HasSubstr("fuse.layerfs"), HasSubstr("noatime"),
                             Not(HasSubstr("nosuid"))));
  EXPECT_EQ(shell("umount " + mnt_).status, 0);
}

// As mount(8) calls /sbin/mount.fuse.layerfs.
TEST_F(Program, IsAHelperOfMount) {
  std::filesystem::create_symlink(layerfs_program(), dir_ / "mount.fuse.layerfs");
  const Ran ran = run({dir_ / "mount.fuse.layerfs", "none", mnt_, "-n", "-v", "-o",
                       "rw,nodev," + writable(), "-t", "fuse.layerfs"});
  ASSERT_EQ(ran.status, 0) << ran.err;
  EXPECT_EQ(read_file(mnt_ + "/file"), "from a");
  EXPECT_EQ(shell("umount " + mnt_).status, 0);
}

TEST_F(Program, IsRemountedReadOnlyAndBack) {
  mount(writable());
  const pid_t daemon = listed().at("pid");
  ASSERT_EQ(layerfs({"layerfs", mnt_, "-o", "remount,ro," + writable()}).status, 0);
  EXPECT_EQ(mkdir((mnt_ + "/new").c_str(), 0755), -1);
  EXPECT_EQ(errno, EROFS);
  ASSERT_EQ(layerfs({"mount", "-o", "remount,rw", mnt_}).status, 0);
  EXPECT_EQ(mkdir((mnt_ + "/new").c_str(), 0755), 0);
  EXPECT_EQ(listed().at("pid"), daemon);
}

TEST_F(Program, WithoutAnUpperItIsNotRemountedWritable) {
  mount(lower());
  const Ran ran = layerfs({"mount", "-o", "remount,rw", mnt_});
  EXPECT_EQ(ran.status, 1);
  EXPECT_THAT(ran.err, HasSubstr("has no writable layer"));
}

// As kernel overlayfs, which goes on without a work directory if it cannot make one.
TEST_F(Program, AnImmutableWorkDirectoryMakesTheMountReadOnly) {
  const Ran kernel = shell(
      "mkdir kernel kernel/l kernel/u kernel/w kernel/m; echo upper >kernel/u/file; "
      "chattr +i kernel/w; "
      "mount -t overlay overlay -o lowerdir=kernel/l,upperdir=kernel/u,workdir=kernel/w kernel/m; "
      "cat kernel/m/file; mkdir kernel/m/new || true; mount -o remount,rw kernel/m || true; "
      "findmnt -no OPTIONS kernel/m | cut -d, -f1; umount kernel/m; chattr -i kernel/w",
      {.directory = dir_.path()});
  EXPECT_EQ(kernel.out, "upper\nro\n") << kernel.err;
  write_file(dir_ / "upper/file", "from the upper");
  for (const char* held : {"work", "work/work"}) {
    std::filesystem::create_directories(dir_ / "work/work");
    ASSERT_TRUE(run({"chattr", "+i", path_of(held)}).ok());
    const Ran ran = layerfs({"mount", "-o", writable(), mnt_});
    EXPECT_EQ(ran.status, 0) << ran.err;
    EXPECT_THAT(ran.err, HasSubstr("mounting read-only"));
    EXPECT_EQ(read_file(mnt_ + "/file"), "from the upper");
    EXPECT_EQ(mkdir((mnt_ + "/new").c_str(), 0755), -1);
    EXPECT_EQ(errno, EROFS);
    EXPECT_EQ(layerfs({"mount", "-o", "remount,rw", mnt_}).status, 1);
    EXPECT_EQ(shell("findmnt -no OPTIONS " + mnt_ + " | cut -d, -f1").out, "ro\n");
    EXPECT_EQ(layerfs({"umount", mnt_}).status, 0);
    EXPECT_TRUE(run({"chattr", "-i", path_of(held)}).ok());
  }
}

TEST_F(Program, AnUpperOnAReadOnlyFileSystemIsRefused) {
  dir_.make("other");
  must_mount_tmpfs();
  ASSERT_TRUE(shell("mkdir other/upper other/work; mount -o remount,ro other; "
                    "! mount -t overlay overlay "
                    "-o lowerdir=a,upperdir=other/upper,workdir=other/work mnt",
                    {.directory = dir_.path()})
                  .ok());
  expect_refused(
      layerfs({"mount", "-o",
               fmt::format("{0},upperdir={1}/upper,workdir={1}/work", lower(), path_of("other")),
               mnt_}),
      "is on a read-only file system");
}

TEST_F(Program, OnlyAMountOfLayerfsIsRemounted) {
  expect_refused(layerfs({"mount", "-o", "remount,ro", mnt_}), "is not a mount of layerfs");
}

TEST_F(Program, PsTellsWhatIsMountedWhere) {
  mount(writable());
  const json mount = listed();
  EXPECT_EQ(mount.at("alive"), true);
  EXPECT_EQ(mount.at("lowerdirs"), json({path_of("a"), path_of("b")}));
  EXPECT_EQ(mount.at("upperdir"), path_of("upper"));
  EXPECT_TRUE(runs(mount.at("pid")));
  EXPECT_THAT(layerfs({"ps"}).out, HasSubstr(mnt_));
  ASSERT_EQ(layerfs({"umount", mnt_}).status, 0);
  EXPECT_TRUE(listed().is_null());
}

// The table of descriptors cannot grow later without a long wait.
TEST_F(Program, TheDaemonHasRoomForItsDescriptorsFromTheBeginning) {
  mount(writable());
  const std::string process =
      read_file(fmt::format("/proc/{}/status", listed().at("pid").get<int>()));
  EXPECT_THAT(process, HasSubstr("FDSize:\t4096\n"));
}

TEST_F(Program, AnotherUnmountEndsTheDaemon) {
  mount(writable());
  const pid_t daemon = listed().at("pid");
  ASSERT_EQ(shell("umount " + mnt_).status, 0);
  EXPECT_TRUE(ends_soon(daemon));
}

TEST_F(Program, SignalsUnmountAndEndTheDaemon) {
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) {
    mount(writable());
    const pid_t daemon = listed().at("pid");
    kill(daemon, signal);
    EXPECT_TRUE(ends_soon(daemon)) << signal;
    EXPECT_FALSE(is_mounted()) << signal;
  }
}

TEST_F(Program, SignalsThatTheCallerHadBlockedEndTheDaemonToo) {
  const Ran ran =
      run({"env", "--block-signal=TERM", layerfs_program(), "mount", "-o", writable(), mnt_});
  ASSERT_EQ(ran.status, 0) << ran.err;
  const pid_t daemon = listed().at("pid");
  kill(daemon, SIGTERM);
  EXPECT_TRUE(ends_soon(daemon));
  EXPECT_FALSE(is_mounted());
}

TEST_F(Program, ASignalEndsAMountInUse) {
  mount(writable());
  const pid_t daemon = listed().at("pid");
  std::ofstream user(mnt_ + "/held");
  user << "text" << std::flush;
  kill(daemon, SIGTERM);
  EXPECT_TRUE(ends_soon(daemon));
  EXPECT_FALSE(is_mounted());
  EXPECT_EQ(read_file(dir_ / "upper/held"), "text");
}

TEST_F(Program, AKilledDaemonIsSeenAndCleanedUp) {
  mount(writable());
  const pid_t daemon = listed().at("pid");
  kill(daemon, SIGKILL);
  ASSERT_TRUE(ends_soon(daemon));
  EXPECT_EQ(listed().at("alive"), false);
  const Ran again = layerfs({"mount", "-o", writable(), mnt_});
  EXPECT_EQ(again.status, 1);
  EXPECT_THAT(again.err, HasSubstr("daemon is gone"));
  EXPECT_EQ(layerfs({"umount", mnt_}).status, 0);
  EXPECT_FALSE(is_mounted());
  mount(writable());
  EXPECT_EQ(read_file(mnt_ + "/file"), "from a");
}

TEST_F(Program, TheUpperIsFreeForTheNextMountAtOnce) {
  for (int i = 0; i < 5; ++i) {
    mount(writable());
    write_file(mnt_ + "/count", std::to_string(i));
    ASSERT_EQ(shell("umount " + mnt_).status, 0);
  }
  EXPECT_EQ(read_file(dir_ / "upper/count"), "4");
}

TEST_F(Program, UmountOfAMountInUseSaysSo) {
  mount(writable());
  const std::ofstream user(mnt_ + "/held");
  const Ran ran = layerfs({"umount", mnt_});
  EXPECT_EQ(ran.status, 1);
  EXPECT_THAT(ran.err, HasSubstr("is in use"));
  EXPECT_EQ(layerfs({"umount", "--lazy", mnt_}).status, 0);
  EXPECT_FALSE(is_mounted());
}

TEST_F(Program, UmountOfSomethingElseSaysSo) {
  const Ran ran = layerfs({"umount", mnt_});
  EXPECT_EQ(ran.status, 1);
  EXPECT_THAT(ran.err, HasSubstr("is not a mount of layerfs"));
}

// In a mount namespace of its own, where no other mount of layerfs is seen.
TEST_F(Program, UmountAllUnmountsEverything) {
  dir_.make("mnt2");
  const std::string script = fmt::format(
      "mount --make-rprivate /\n"
      // What another test removes meanwhile is gone here, too.
      "findmnt -rnt fuse.layerfs -o TARGET | xargs -r umount -l || true\n"
      "{0} mount -o {1} {2}/mnt\n{0} mount -o {1} {2}/mnt2\n"
      "{0} umount --all\n! grep fuse.layerfs /proc/self/mountinfo\n",
      layerfs_program(), lower(), dir_.path().string());
  const Ran ran = run({"unshare", "-m", "sh", "-ec", script});
  EXPECT_EQ(ran.status, 0) << ran.out << ran.err;
}

TEST_F(Program, ForegroundStaysUntilUnmounted) {
  const Ran ran =
      shell(fmt::format("{0} mount --foreground -o {1} {2} & daemon=$!\n"
                        "until grep -q ' {2} ' /proc/self/mountinfo; do sleep 0.05; done\n"
                        "cat {2}/file\nkill -0 $daemon\numount {2}\nwait $daemon\n",
                        layerfs_program(), writable(), mnt_));
  EXPECT_EQ(ran.status, 0) << ran.err;
  EXPECT_EQ(ran.out, "from a");
  EXPECT_THAT(ran.err, HasSubstr("is mounted"));
}

TEST_F(Program, RefusesAMissingLowerDirectory) {
  expect_refused(
      layerfs({"mount", "-o", fmt::format("lowerdir={}/none", dir_.path().string()), mnt_}),
      "/none");
}

TEST_F(Program, RefusesALowerThatIsNoDirectory) {
  expect_refused(
      layerfs({"mount", "-o", fmt::format("lowerdir={}/a/file", dir_.path().string()), mnt_}),
      "/a/file");
}

TEST_F(Program, RefusesAMountPointThatIsNoDirectory) {
  const Ran ran = layerfs({"mount", "-o", lower(), dir_ / "a/file"});
  EXPECT_EQ(ran.status, 1);
  EXPECT_THAT(ran.err, HasSubstr("is not a directory"));
}

TEST_F(Program, RefusesAMountPointThatIsMissing) {
  const Ran ran = layerfs({"mount", "-o", lower(), dir_ / "none"});
  EXPECT_EQ(ran.status, 1);
  EXPECT_THAT(ran.err, HasSubstr("No such file"));
}

TEST_F(Program, RefusesAnUpperInUse) {
  mount(writable());
  dir_.make("mnt2");
  const Ran ran = layerfs({"mount", "-o", writable(), dir_ / "mnt2"});
  EXPECT_EQ(ran.status, 1);
  EXPECT_THAT(ran.err, HasSubstr("in use"));
}

TEST_F(Program, RefusesAWorkDirectoryElsewhere) {
  dir_.make("other");
  must_mount_tmpfs();
  expect_refused(layerfs({"mount", "-o",
                          fmt::format("{},upperdir={}/upper,workdir={}/other", lower(),
                                      dir_.path().string(), dir_.path().string()),
                          mnt_}),
                 "same file system");
}

TEST_F(Program, RefusesAUserWithoutAccessToFuse) {
  shell(fmt::format("chmod 755 {0}; chmod 777 {0}/mnt", dir_.path().string()));
  // A device as strict as possible, whatever this machine's is.
  const std::string script = fmt::format(
      "mknod -m 600 {0}/fuse c 10 229\nmount --bind {0}/fuse /dev/fuse\n"
      "exec setpriv --reuid 65534 --regid 65534 --clear-groups {1} mount -o {2} {3}",
      dir_.path().string(), layerfs_program(), lower(), mnt_);
  expect_refused(run({"unshare", "-m", "sh", "-ec", script}), "/dev/fuse");
}

}  // namespace
}  // namespace layerfs::test
