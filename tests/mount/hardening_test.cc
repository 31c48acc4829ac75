// What the daemon of a live mount can still do: doc/hardening.md, in each way of mounting.
#include <string>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fs/fuse/confinement.h"
#include "fs/sys/sanitized.h"
#include "tests/mount/program_fixture.h"
#include "tests/support/command.h"

namespace layerfs::test {
namespace {

using testing::HasSubstr;

// The search for leaks needs it.
constexpr bool kDumpable = sys::kAddressSanitized;

// Shell functions: `daemon` is the process of the mount on "mnt" of this directory, `look PID` what
// all its threads may do, and whether a process with its ids and capabilities can look into it.
constexpr const char* kFunctions = R"(
layerfs() { "$program" "$@"; }
daemon() {
  layerfs ps --json | tr '{' '\n' | grep "\"mountpoint\": \"$PWD/mnt\"" -A 9 | sed -n 's/.*"pid": \([0-9]*\).*/\1/p'
}
look() {
  grep -hE '^(Cap...|NoNewPrivs|Seccomp):' /proc/$1/task/*/status | tr -d '\t' | sort -u
  echo core $(sed -n 's/Max core file size *//p' /proc/$1/limits)
  if $peer readlink /proc/$1/exe >/dev/null; then echo open; else echo closed; fi
}
processes() { pgrep -c -f "lowerdir=$PWD" || true; }
use() {
  cat mnt/file; echo more >>mnt/file; mkdir mnt/made; mv mnt/made mnt/moved; rmdir mnt/moved
  ln mnt/file mnt/linked; ln -s file mnt/symlink; cp /bin/true mnt/copy; chmod 750 mnt/copy
  touch -d 2001-01-01 mnt/copy; setfattr -n user.a -v b mnt/copy; getfattr -d mnt/copy >/dev/null
  truncate -s 10M mnt/copy; fallocate -p -o 0 -l 4096 mnt/copy; rm mnt/linked; mkfifo mnt/fifo
  ls -lR mnt >/dev/null; df mnt >/dev/null; sync -f mnt; stat mnt/other >/dev/null
}
)";

class Hardening : public ProgramFixture {
 protected:
  Ran script(const std::string& text, const std::string& before = "") const {
    write_file(dir_ / "functions", kFunctions);
    write_file(dir_ / "script", ". ./functions\n" + text);
    return shell("chmod 755 .; " + before + " sh -eu ./script",
                 {.directory = dir_.path(),
                  .environment = {"program=" + layerfs_program(), "options=" + writable(),
                                  "LAYERFS_SECCOMP=kill", "XDG_RUNTIME_DIR=" + dir_.path().string(),
                                  "peer="},
                  .timeout_seconds = 60});
  }
  // A script of a user without privileges, whom fusermount3 must know by name: daemon.
  Ran script_of_user(const std::string& text) const {
    return script(text,
                  "rm -f fuse; mknod -m 666 fuse c 10 229; chown -R 1:1 .;"
                  "exec unshare --mount --propagation private sh -ec 'mount --bind fuse /dev/fuse;"
                  "exec setpriv --reuid 1 --regid 1 --clear-groups --inh-caps=-all \"$@\"' --");
  }
  static std::string expected(const std::string& bounding, sys::CapabilitySet kept) {
    return fmt::format(
        "CapAmb:{0:016x}\nCapBnd:{1}\nCapEff:{2:016x}\nCapInh:{0:016x}\nCapPrm:{2:016x}\n"
        "NoNewPrivs:1\nSeccomp:2\ncore 0 0 bytes\n{3}\n",
        0, bounding, kept, kDumpable ? "open" : "closed");
  }
  static std::string expected_of_root() {
    return expected(fmt::format("{:016x}", 0), fuse::needed_capabilities());
  }
};

// Root that may look into other processes with no more capabilities than it has itself.
constexpr const char* kPeer = "peer='setpriv --bounding-set -sys_ptrace --inh-caps -sys_ptrace'\n";

TEST_F(Hardening, OfRoot) {
  const Ran ran = script(std::string(kPeer) +
                         "layerfs mount -o $options mnt; look $(daemon); use; chown 7:8 mnt/copy\n"
                         "mknod mnt/device c 1 3; setfattr -n trusted.a -v b mnt/copy\n"
                         "chattr +i mnt/copy; chattr -i mnt/copy; setcap cap_chown+ep mnt/copy\n"
                         "setpriv --reuid 9 --regid 9 --clear-groups cat mnt/other\n"
                         "layerfs umount mnt; getcap upper/copy; stat -c %u:%g upper/copy");
  EXPECT_EQ(ran.out, expected_of_root() + "from afrom bupper/copy cap_chown=ep\n7:8\n") << ran.err;
}

TEST_F(Hardening, OfRootInEachWayOfCalling) {
  for (const std::string call :
       {"$program -o $options,volatile mnt", "$program overlay mnt -o $options,dev,suid -t layerfs",
        "mount.layerfs overlay mnt -o $options"}) {
    const Ran ran = script(std::string(kPeer) + "ln -sf $program mount.layerfs; PATH=$PATH:.\n" +
                           call + "; look $(daemon); layerfs umount mnt; rm -rf work/work");
    EXPECT_EQ(ran.out, expected_of_root()) << call << ran.err;
  }
}

TEST_F(Hardening, OfRootInTheForeground) {
  const Ran ran = script(std::string(kPeer) +
                         "layerfs mount -f -o $options mnt 2>/dev/null &\n"
                         "until [ -n \"$(daemon)\" ] && grep -q Seccomp:.2 /proc/$(daemon)/status\n"
                         "do sleep 0.02; done; look $(daemon); layerfs umount mnt; wait $!");
  EXPECT_EQ(ran.out, expected_of_root()) << ran.err;
}

TEST_F(Hardening, OverRings) {
  const Ran ran = script(
      std::string(kPeer) +
      "enabled=/sys/module/fuse/parameters/enable_uring; before=$(cat $enabled)\n"
      "trap 'echo $before >$enabled' EXIT; echo Y >$enabled\n"
      "layerfs mount -o $options,transport=io_uring mnt; look $(daemon); use; layerfs umount mnt");
  EXPECT_EQ(ran.out, expected_of_root() + "from a") << ran.err;
}

TEST_F(Hardening, OfAUserNamespace) {
  const Ran ran =
      script_of_user(std::string(kPeer) +
                     "export peer; unshare --user --map-root-user --mount sh -euc '. ./functions\n"
                     "layerfs mount -o $options mnt; look $(daemon); use; layerfs umount mnt'");
  EXPECT_EQ(ran.out, expected_of_root() + "from a") << ran.err;
}

TEST_F(Hardening, OfFusermount) {
  const Ran ran = script_of_user(
      "grep CapBnd /proc/self/status | tr -d '\\t'\n"
      "layerfs mount -o $options mnt; look $(daemon); use; layerfs umount mnt");
  const std::string bounding = ran.out.substr(0, ran.out.find('\n') + 1);
  EXPECT_EQ(ran.out, bounding + expected(bounding.substr(7, bounding.size() - 8), 0) + "from a")
      << ran.err;
}

// fusermount3 could not gain what it needs from the daemon itself any more.
TEST_F(Hardening, TheDaemonOfAUserUnmountsAtItsEnd) {
  const std::string wait_for_end =
      "for i in $(seq 200); do [ $(processes) = 0 ] && break; sleep 0.02; done\n"
      "grep -c \" $PWD/mnt \" /proc/self/mountinfo || processes\n";
  for (const std::string how : {"kill $pid", "exec 9>mnt/busy; kill $pid"}) {
    const Ran ran = script_of_user(
        "layerfs mount -o $options mnt; pid=$(daemon)\n"
        "processes\n" +
        how + "\n" + wait_for_end);
    EXPECT_EQ(ran.out, "2\n0\n0\n") << how << ran.err;
  }
}

TEST_F(Hardening, NothingIsLeftOfADaemonThatIsKilled) {
  const Ran ran = script_of_user(
      "layerfs mount -o $options mnt; kill -9 $(daemon)\n"
      "for i in $(seq 200); do [ $(processes) = 0 ] && break; sleep 0.02; done\n"
      "processes; fusermount3 -u mnt");
  EXPECT_EQ(ran.out, "0\n") << ran.err;
  EXPECT_EQ(ran.status, 0);
}

}  // namespace
}  // namespace layerfs::test
