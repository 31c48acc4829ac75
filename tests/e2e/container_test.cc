// Containers of real images, made by the distribution's runc and crun.
#include <linux/magic.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/vfs.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/e2e/layerfs.h"

namespace layerfs::test {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

// A store with the image "demo", which says nothing about how it is run, and "app", the same with
// all that an image can say.
Layerfs& shared() {
  static Layerfs layerfs;
  static const bool ready = [] {
    const fs::path layout = layerfs.dir() / "layout";
    const Ran made = shell(
        "cp -r '" + (real_images() / "layout").string() + "' '" + layout.string() +
        "'; umoci config --image '" + layout.string() +
        ":demo' --tag app --config.user daemon --config.env GREETING=hello --config.env PATH=/bin "
        "--config.workingdir /srv/app --config.entrypoint /bin/echo --config.entrypoint entry "
        "--config.cmd arguments --config.volume /data/deep --config.volume /etc/default");
    if (!made.ok()) throw std::runtime_error(made.err);
    const Ran imported = layerfs({"import", layout});
    if (!imported.ok()) throw std::runtime_error(imported.err);
    return true;
  }();
  static_cast<void>(ready);
  return layerfs;
}

// crun refuses a machine that has cgroup2 beside the hierarchies of cgroup v1. Here, in a mount
// namespace of the tests, it finds the latter alone.
void leave_one_kind_of_cgroups() {
  constexpr const char* kBeside = "/sys/fs/cgroup/unified";
  struct statfs found = {};
  if (statfs(kBeside, &found) != 0 || found.f_type != CGROUP2_SUPER_MAGIC) return;
  ASSERT_EQ(unshare(CLONE_NEWNS), 0);
  ASSERT_EQ(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
  ASSERT_EQ(umount2(kBeside, MNT_DETACH), 0);
}

// With each runtime.
class Container : public ::testing::TestWithParam<std::string> {
 protected:
  static void SetUpTestSuite() { leave_one_kind_of_cgroups(); }

  Container() : layerfs_(shared()), volume_(dir_.make("volume")) {}

  // Whatever a test did, its containers leave nothing behind but what it asked for.
  void TearDown() override {
    EXPECT_THAT(snapshots(), IsEmpty());
    EXPECT_EQ(run({runtime_, "list", "--quiet"}).out.find("layerfs-test-"), std::string::npos);
    EXPECT_EQ(run({"find", "/run/layerfs/containers", "-name", "layerfs-test-*"}).out, "");
    EXPECT_EQ(read_file("/proc/self/mountinfo").find("layerfs-test-"), std::string::npos);
  }

  Ran run_in(std::vector<std::string> options, const std::string& image,
             const std::vector<std::string>& command) const {
    if (std::ranges::find(options, "--runtime") == options.end()) {
      options.insert(options.begin(), {"--runtime", runtime_});
    }
    options.insert(options.begin(), {"run", "--name", name_});
    options.push_back(image);
    if (!command.empty()) options.emplace_back("--");
    options.insert(options.end(), command.begin(), command.end());
    return layerfs_(options);
  }
  // A script in the image "demo".
  Ran script(const std::string& text, const std::vector<std::string>& options = {}) const {
    return run_in(options, "demo", {"/bin/sh", "-c", text});
  }
  // A script of this machine that finds "$layerfs run..." set up.
  Ran outside(const std::string& text) const {
    return shell(text, {.directory = dir_.path(),
                        .environment = {"layerfs=" + layerfs_program(), "name=" + name_,
                                        "runtime=" + runtime_, "volume=" + volume_.string(),
                                        "LAYERFS_ROOT=" + layerfs_.store().string()}});
  }
  std::vector<std::string> snapshots() const {
    std::vector<std::string> names;
    const nlohmann::json list = nlohmann::json::parse(layerfs_({"snapshots", "--json"}).out);
    for (const auto& snapshot : list) names.push_back(snapshot.at("name"));
    return names;
  }
  void drop_snapshot(const std::string& name) const {
    const Ran ran = layerfs_({"snapshots", "--rm", name});
    EXPECT_TRUE(ran.ok()) << ran.err;
  }
  std::string mounted_volume(const std::string& mode = "") const {
    return volume_.string() + ":/volume" + mode;
  }

  const std::string runtime_ = GetParam();
  Layerfs& layerfs_;
  const TempDir dir_;
  const fs::path volume_;
  const std::string name_ = "layerfs-test-" + dir_.path().filename().string();
};

TEST_P(Container, GivesItsOutputAndItsExitStatus) {
  const Ran ran = script("echo out; echo err >&2; exit 42");
  EXPECT_EQ(ran.status, 42);
  EXPECT_EQ(ran.out, "out\n");
  EXPECT_EQ(ran.err, "err\n");
}

TEST_P(Container, ReadsStandardInput) {
  const Ran ran = outside(
      "printf 'one\\ntwo\\n' | $layerfs run --runtime $runtime --name $name demo -- /bin/sed -n "
      "2p");
  EXPECT_EQ(ran.out, "two\n") << ran.err;
}

TEST_P(Container, IsTheDistributionOfTheImage) {
  const Ran ran = script("/opt/demo/bin/hello; cat /etc/motd; ls /usr/share/doc");
  EXPECT_THAT(ran.out, AllOf(StartsWith("hello from "), HasSubstr("README"))) << ran.err;
  EXPECT_THAT(ran.err, HasSubstr("/etc/motd"));
}

TEST_P(Container, RunsWhatTheImageSaysAsItSays) {
  const Ran ran = run_in({}, "app", {});
  EXPECT_EQ(ran.out, "entry arguments\n") << ran.err;
  EXPECT_EQ(run_in({}, "app", {"other"}).out, "entry other\n");
  const Ran shell = run_in({"--entrypoint", "/bin/sh"}, "app",
                           {"-c", "id -un; id -gn; pwd; echo $GREETING $PATH $HOME"});
  EXPECT_EQ(shell.out, "daemon\ndaemon\n/srv/app\nhello /bin /usr/sbin\n") << shell.err;
}

TEST_P(Container, OptionsWinOverTheImage) {
  const Ran ran = run_in({"--entrypoint", "/bin/sh", "--user", "games:44", "--workdir", "/tmp",
                          "--env", "GREETING=bye", "--hostname", "box"},
                         "app", {"-c", "id -u; id -G; pwd; echo $GREETING; hostname"});
  EXPECT_EQ(ran.out, "5\n44\n/tmp\nbye\nbox\n") << ran.err;
}

TEST_P(Container, SeesItsOwnProcessesOnly) {
  EXPECT_EQ(script("echo $$; ls -d /proc/[0-9]* | wc -l").out.substr(0, 2), "1\n");
}

TEST_P(Container, LeavesNothingUnlessAsked) {
  EXPECT_EQ(script("echo text > /new; rm /etc/hostname; cat /new").out, "text\n");
  EXPECT_EQ(script("cat /new").status, 1);
}

TEST_P(Container, KeepsWhatItWroteAndSaysWhere) {
  const Ran ran = script("echo kept > /new", {"--keep"});
  ASSERT_EQ(snapshots().size(), 1U) << ran.err;
  const std::string name = snapshots()[0];
  EXPECT_THAT(ran.err, HasSubstr("--snapshot " + name));
  EXPECT_EQ(script("cat /new", {"--snapshot", name}).out, "kept\n");
  EXPECT_EQ(snapshots().size(), 1U);
  drop_snapshot(name);
}

TEST_P(Container, GoesOnWithASnapshotOfItsName) {
  EXPECT_TRUE(script("echo one >> /log", {"--snapshot", "work"}).ok());
  EXPECT_EQ(script("echo two >> /log; cat /log", {"--snapshot", "work"}).out, "one\ntwo\n");
  drop_snapshot("work");
}

TEST_P(Container, SharesDirectoriesOfTheMachine) {
  write_file(volume_ / "file", "from outside\n");
  const Ran ran =
      script("cat /volume/file; echo from inside > /volume/back", {"--volume", mounted_volume()});
  EXPECT_EQ(ran.out, "from outside\n") << ran.err;
  EXPECT_EQ(read_file(volume_ / "back"), "from inside\n");
}

TEST_P(Container, CannotWriteToAReadOnlyVolume) {
  write_file(volume_ / "file", "from outside\n");
  const Ran ran =
      script("cat /volume/file; touch /volume/new || echo no", {"--volume", mounted_volume(":ro")});
  EXPECT_EQ(ran.out, "from outside\nno\n") << ran.err;
  EXPECT_FALSE(fs::exists(volume_ / "new"));
}

TEST_P(Container, ReadOnlyIsAllButTheImagesVolumes) {
  const Ran ran = run_in({"--read-only", "--user", "0", "--entrypoint", "/bin/sh"}, "app",
                         {"-c",
                          "touch /new || echo no; touch /data/deep/new /dev/shm/new && echo yes; "
                          "ls /etc/default | wc -l; touch /etc/default/new && echo yes"});
  EXPECT_EQ(ran.out.substr(0, 7), "no\nyes\n") << ran.err;
  EXPECT_THAT(ran.out, Not(HasSubstr("\n0\n"))) << "a volume begins with what the image has there";
  EXPECT_EQ(ran.out.substr(ran.out.size() - 4), "yes\n");
}

TEST_P(Container, MakesTheImagesVolumesWhereTheyAreMissing) {
  const Ran ran = run_in({"--entrypoint", "/bin/ls"}, "app", {"-d", "/data/deep", "/etc/default"});
  EXPECT_EQ(ran.out, "/data/deep\n/etc/default\n") << ran.err;
}

// An image that has links to directories of the machine where a runtime works before it enters the
// container.
TEST_P(Container, FollowsNoLinkOfTheImageOutOfIt) {
  const fs::path canary = dir_.make("canary");
  for (const char* name : {"ptmx", "file", "fd"}) write_file(canary / name, "mine");
  const fs::path root = dir_.make("root");
  for (const std::string name : {"dev", "proc", "sys", "etc"}) {
    const Ran changed = outside("$layerfs mount --snapshot hostile demo root; rm -rf root/" + name +
                                "; ln -s \"$PWD/canary\" root/" + name + "; $layerfs umount root");
    ASSERT_TRUE(changed.ok()) << changed.err;
    const Ran ran = script("true", {"--snapshot", "hostile"});
    EXPECT_EQ(ran.status, 125) << name << ran.out << ran.err;
    EXPECT_THAT(ran.err, HasSubstr("'/" + name + "' is a symlink"));
    EXPECT_EQ(outside("ls canary; cat canary/*").out, "fd\nfile\nptmx\nmineminemine") << name;
    drop_snapshot("hostile");
  }
}

TEST_P(Container, LinksInPlaceOfFilesOfTheImageLeadNowhere) {
  const fs::path canary = dir_.make("canary");
  write_file(canary / "file", "mine");
  dir_.make("root");
  const Ran changed = outside(
      "$layerfs mount --snapshot hostile demo root; cd root; rm -f etc/resolv.conf etc/hosts; "
      "ln -s \"$PWD/../canary/file\" etc/resolv.conf; ln -s ../../../../../../no/such etc/hosts; "
      "ln -s \"$PWD/../canary\" volume; cd ..; $layerfs umount root");
  ASSERT_TRUE(changed.ok()) << changed.err;
  const Ran ran = script("cat /etc/resolv.conf; ls /etc/hosts",
                         {"--snapshot", "hostile", "--workdir", "/new/cwd"});
  EXPECT_EQ(ran.out, read_file("/etc/resolv.conf") + "/etc/hosts\n") << ran.err;
  const Ran shown = script("ls /volume", {"--snapshot", "hostile", "--volume", mounted_volume()});
  EXPECT_NE(shown.err, "");
  EXPECT_EQ(outside("ls canary; cat canary/*").out, "file\nmine");
  drop_snapshot("hostile");
}

TEST_P(Container, HasNoNetworkIfAskedFor) {
  EXPECT_EQ(script("ls /sys/class/net", {"--network", "none"}).out, "lo\n");
}

TEST_P(Container, KnowsTheMachinesNameServers) {
  EXPECT_EQ(script("cat /etc/resolv.conf").out, read_file("/etc/resolv.conf"));
}

TEST_P(Container, HasNoPowerOverTheMachine) {
  const Ran ran = script(
      "mount -t tmpfs none /mnt || echo no; cat /proc/kcore | wc -c; "
      "echo 1 > /proc/sys/vm/drop_caches || echo no");
  EXPECT_EQ(ran.out, "no\n0\nno\n") << ran.err;
}

TEST_P(Container, HasATerminalIfThereIsOne) {
  const Ran ran = outside(
      "script -qec \"$layerfs run --runtime $runtime --name $name demo -- "
      "/bin/sh -c 'test -t 0 && test -t 1 && tty; exit 5'\" /dev/null");
  EXPECT_EQ(ran.status, 5);
  EXPECT_THAT(ran.out, HasSubstr("/dev/pts/0"));
  EXPECT_EQ(script("test -t 0 || echo none").out, "none\n");
}

// Starts a container that says when it is ready, sends a signal, and prints the exit status.
std::string signalled(const std::string& signal, const std::string& command) {
  return "$layerfs run --runtime $runtime --name $name -v $volume:/volume demo -- /bin/sh -c '" +
         command + "' & until [ -e $volume/ready ]; do sleep 0.05; done; kill -" + signal +
         " $!; wait $! && s=0 || s=$?; echo status $s";
}

TEST_P(Container, HandlesTheSignalsThatItHasHandlersFor) {
  for (const std::string signal : {"TERM", "INT", "HUP", "USR1"}) {
    fs::remove(volume_ / "ready");
    const Ran ran =
        outside(signalled(signal, "trap \"echo got; exit 3\" " + signal +
                                      "; touch /volume/ready; while :; do sleep 0.1; done"));
    EXPECT_EQ(ran.out, "got\nstatus 3\n") << signal << ran.err;
  }
}

TEST_P(Container, EndsByASignalLikeAnyProgram) {
  EXPECT_EQ(outside(signalled("TERM", "touch /volume/ready; exec sleep 1000")).out, "status 143\n");
  fs::remove(volume_ / "ready");
  EXPECT_EQ(outside(signalled("INT", "touch /volume/ready; exec sleep 1000")).out, "status 130\n");
}

TEST_P(Container, IgnoresTheSignalsThatItWantsToIgnore) {
  const Ran ran =
      outside(signalled("TERM", "trap \"\" TERM; touch /volume/ready; sleep 0.5; exit 6"));
  EXPECT_EQ(ran.out, "status 6\n") << ran.err;
}

TEST_P(Container, DoesNotOutliveACallerThatIsKilled) {
  const Ran ran = outside(
      "$layerfs run --runtime $runtime --name $name -v $volume:/volume demo -- /bin/sh -c 'touch "
      "/volume/ready; exec "
      "sleep 1000' & until [ -e $volume/ready ]; do sleep 0.05; done; kill -KILL $!; wait $! || :; "
      "n=0; while [ -e /run/layerfs/containers/$name ] && [ $n -lt 200 ]; do sleep 0.05; "
      "n=$((n+1)); "
      "done; test ! -e /run/layerfs/containers/$name");
  EXPECT_TRUE(ran.ok()) << ran.err;
}

TEST_P(Container, TwentyOfOneImageAtOnceDoNotMeet) {
  const Ran ran = outside(
      "for i in $(seq 20); do (s=0; $layerfs run --runtime $runtime --name $name-$i demo -- "
      "/bin/sh -c \"echo $i > "
      "/etc/debian_version; echo $i > /new-$i; sleep 0.5; cat /etc/debian_version; ls -d /new-*; "
      "exit $i\" > out-$i 2>&1 || s=$?; echo $s >> out-$i) & done; wait; for i in $(seq 20); do "
      "printf '%s\\n/new-%s\\n%s\\n' $i $i $i | cmp - out-$i || cat out-$i; done");
  EXPECT_EQ(ran.out, "");
  EXPECT_TRUE(ran.ok()) << ran.err;
  const Ran after = script("ls -d /new-*");
  EXPECT_EQ(after.out, "") << "one was written to a layer";
}

TEST_P(Container, SaysWhyNothingRan) {
  struct Case {
    std::vector<std::string> options;
    std::string image;
    std::vector<std::string> command;
    int status;
    std::string sentence;
  };
  for (const Case& tried : std::vector<Case>{
           {{}, "demo", {"/no/such"}, 127, "did not start"},
           {{}, "demo", {"no-such"}, 127, "did not start"},
           {{}, "demo", {"/etc/passwd"}, 126, "[Pp]ermission denied"},
           {{}, "unknown", {"true"}, 125, "no image 'unknown'"},
           {{"--user", "nosuch"}, "demo", {"true"}, 125, "knows no user 'nosuch'"},
           {{"--volume", "/no/such:/x"}, "demo", {"true"}, 125, "'/no/such' cannot be used"},
           {{"--runtime", "no-such"}, "demo", {"true"}, 125, "no program 'no-such'"},
           {{"--workdir", "x"}, "demo", {"true"}, 125, "not absolute"},
           {{"--entrypoint", ""}, "app", {}, 125, "does not say what to run"},
           {{"--network", "wrong"}, "demo", {"true"}, 125, "--network"},
       }) {
    const Ran ran = run_in(tried.options, tried.image, tried.command);
    EXPECT_EQ(ran.status, tried.status) << tried.sentence << ran.err;
    EXPECT_THAT(ran.err, ContainsRegex(tried.sentence));
    EXPECT_THAT(ran.err, HasSubstr("layerfs: "));
  }
}

TEST_P(Container, ItsNameIsNoPath) {
  const Ran ran = layerfs_({"run", "--name", "../x", "demo", "--", "true"});
  EXPECT_EQ(ran.status, 125);
  EXPECT_THAT(ran.err, HasSubstr("no name for a container"));
}

TEST_P(Container, DoesNotTakeAnothersName) {
  const Ran ran = outside(
      "$layerfs run --runtime $runtime --name $name -v $volume:/volume demo -- /bin/sh -c 'touch "
      "/volume/ready; until "
      "[ -e /volume/go ]; do sleep 0.05; done; exit 9' & until [ -e $volume/ready ]; do sleep "
      "0.05; "
      "done; $layerfs run --runtime $runtime --name $name demo -- true && s=0 || s=$?; echo second "
      "$s; touch "
      "$volume/go; wait $! && s=0 || s=$?; echo first $s");
  EXPECT_EQ(ran.out, "second 125\nfirst 9\n") << ran.err;
  EXPECT_THAT(ran.err, HasSubstr("already"));
}

class Bundle : public Container {
 protected:
  std::string bundle() const { return dir_ / "bundle"; }
};

TEST_P(Bundle, IsRunByTheRuntime) {
  const Ran made = layerfs_({"bundle", "--snapshot", "bundled", "app", bundle()});
  ASSERT_TRUE(made.ok()) << made.err;
  EXPECT_THAT(made.out, AllOf(HasSubstr("runc run --bundle " + bundle()),
                              HasSubstr("layerfs umount " + bundle() + "/rootfs"),
                              HasSubstr("layerfs snapshots --rm bundled")));
  const Ran ran = run({runtime_, "run", "--bundle", bundle(), name_});
  EXPECT_EQ(ran.out, "entry arguments\n") << ran.err;
  EXPECT_TRUE(layerfs_({"umount", bundle() + "/rootfs"}).ok());
  drop_snapshot("bundled");
}

TEST_P(Bundle, CanBeMadeWithoutAMount) {
  const Ran made = layerfs_({"bundle", "--no-mount", "app", bundle(), "--", "later"});
  ASSERT_TRUE(made.ok()) << made.err;
  EXPECT_TRUE(fs::is_empty(bundle() + "/rootfs"));
  EXPECT_THAT(made.out, HasSubstr("layerfs mount app " + bundle() + "/rootfs"));
  const auto config = nlohmann::json::parse(read_file(bundle() + "/config.json"));
  EXPECT_EQ(config["process"]["user"]["uid"], 1);
  ASSERT_TRUE(layerfs_({"mount", "--snapshot", "later", "app", bundle() + "/rootfs"}).ok());
  EXPECT_EQ(run({runtime_, "run", "--bundle", bundle(), name_}).out, "entry later\n");
  EXPECT_TRUE(layerfs_({"umount", bundle() + "/rootfs"}).ok());
  drop_snapshot("later");
}

TEST_P(Bundle, IsWholeOrNotThere) {
  const Ran ran = layerfs_({"bundle", "--user", "nosuch", "demo", bundle()});
  EXPECT_EQ(ran.status, 1);
  EXPECT_THAT(ran.err, HasSubstr("knows no user"));
  EXPECT_FALSE(fs::exists(bundle()));
}

TEST_P(Bundle, TakesNoDirectoryThatHoldsSomething) {
  write_file(bundle() + "/mine", "");
  const Ran ran = layerfs_({"bundle", "demo", bundle()});
  EXPECT_EQ(ran.status, 1);
  EXPECT_THAT(ran.err, HasSubstr("not an empty directory"));
  EXPECT_TRUE(fs::exists(bundle() + "/mine"));
}

// As a user of its own, with nothing but a /dev/fuse that is everybody's.
class RootlessContainer : public ::testing::TestWithParam<std::string> {
 protected:
  static void SetUpTestSuite() {
    leave_one_kind_of_cgroups();
    dir_ = std::make_unique<TempDir>();
    fs::permissions(dir_->path(), fs::perms(0755));
    const Ran made = shell(
        "mknod -m 666 fuse c 10 229; cp \"$archive\" oci.tar; chmod 644 oci.tar; mkdir -m 700 "
        "home; "
        "chown 4242:4242 home; cp /etc/passwd passwd; echo user:x:4242:4242::/:/bin/sh >> passwd",
        {.directory = dir_->path(),
         .environment = {"archive=" + (real_images() / "oci.tar").string()}});
    ASSERT_TRUE(made.ok()) << made.err;
    const Ran imported = as_user("$layerfs import ../oci.tar --name demo");
    ASSERT_TRUE(imported.ok()) << imported.err;
  }
  static void TearDownTestSuite() { dir_.reset(); }

  // A script in the user's home directory that finds "$layerfs run --runtime $runtime demo" set up.
  static Ran as_user(const std::string& script, const std::string& runtime = "") {
    return shell(
        "exec unshare --mount --propagation private sh -ec 'mount --bind fuse /dev/fuse; "
        "mount --bind passwd /etc/passwd; cd home; export HOME=$PWD XDG_RUNTIME_DIR=$PWD; "
        "exec setpriv --reuid 4242 --regid 4242 --clear-groups --inh-caps=-all sh -ec \"$script\"'",
        {.directory = dir_->path(),
         .environment = {"layerfs=" + layerfs_program(), "runtime=" + runtime,
                         "script=" + script}});
  }
  Ran as_user_here(const std::string& script) const { return as_user(script, GetParam()); }

 private:
  static inline std::unique_ptr<TempDir> dir_;
};

TEST_P(RootlessContainer, IsRunByItsUser) {
  const Ran ran = as_user_here(
      "$layerfs run --runtime $runtime demo -- /bin/sh -c "
      "'echo $(id -u) $(id -g) $$; rm /etc/hostname; echo text > /new; cat /new; exit 4' || echo "
      "$?; "
      "$layerfs snapshots --json; ls $XDG_RUNTIME_DIR/layerfs/containers");
  EXPECT_EQ(ran.out, "0 0 1\ntext\n4\n[]\n") << ran.err;
}

TEST_P(RootlessContainer, HasNoNetworkAndDoesNotWriteIfAskedFor) {
  const Ran ran = as_user_here(
      "$layerfs run --runtime $runtime --network none --read-only demo -- /bin/sh -c "
      "'ls /sys/class/net; touch /new || echo no; touch /dev/shm/new && echo yes'");
  EXPECT_EQ(ran.out, "lo\nno\nyes\n") << ran.err;
}

TEST_P(RootlessContainer, HasNoUserButItsRoot) {
  const Ran ran =
      as_user_here("$layerfs run --runtime $runtime --user games demo -- /bin/true || echo $?");
  EXPECT_EQ(ran.out, "125\n");
  EXPECT_THAT(ran.err, HasSubstr("give --user 0:0"));
}

TEST_P(RootlessContainer, RunsFromABundle) {
  const Ran ran = as_user_here(
      "$layerfs bundle --snapshot s demo bundle-$runtime -- /bin/echo from a bundle >/dev/null; "
      "$runtime run --bundle bundle-$runtime lfstest; $layerfs umount bundle-$runtime/rootfs; "
      "$layerfs snapshots --rm s");
  EXPECT_THAT(ran.out, StartsWith("from a bundle\n")) << ran.err;
  EXPECT_TRUE(ran.ok()) << ran.err;
}

std::string runtime_of(const ::testing::TestParamInfo<std::string>& test) { return test.param; }

INSTANTIATE_TEST_SUITE_P(With, Container, ::testing::Values("runc", "crun"), runtime_of);
INSTANTIATE_TEST_SUITE_P(With, Bundle, ::testing::Values("runc", "crun"), runtime_of);
INSTANTIATE_TEST_SUITE_P(With, RootlessContainer, ::testing::Values("runc", "crun"), runtime_of);

}  // namespace
}  // namespace layerfs::test
