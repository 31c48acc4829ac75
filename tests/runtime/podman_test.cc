// podman and buildah with layerfs as their mount program, beside the kernel's overlayfs and
// fuse-overlayfs.
#include <filesystem>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/e2e/layerfs.h"
#include "tests/support/command.h"
#include "tests/support/temp_dir.h"

namespace layerfs::test {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr const char* kKernel = "";
constexpr const char* kPeer = "/usr/bin/fuse-overlayfs";

// Directories of one user's containers; each mount program has a store of its own.
class Runtime {
 public:
  explicit Runtime(std::string who) : who_(std::move(who)) { fs::permissions(dir_.path(), kOpen); }

  // The output of `script`, which has to succeed.
  std::string operator()(const std::string& program, const std::string& script) {
    const Ran ran = run({LAYERFS_RUNTIME_SOURCE "/with-podman", who_, program, home(program),
                         "archive=" + archive().string() + "; " + script},
                        {.timeout_seconds = 600});
    EXPECT_TRUE(ran.ok()) << script << "\n" << ran.out << ran.err;
    return ran.out;
  }

  // Where scripts leave files.
  fs::path file(const std::string& program, const std::string& name) const {
    return home(program) / "home" / name;
  }

 private:
  static constexpr fs::perms kOpen = static_cast<fs::perms>(0755);

  fs::path home(const std::string& program) const {
    return dir_ / (program.empty() ? "kernel" : fs::path(program).filename().string());
  }
  // The image, readable to everybody.
  fs::path archive() {
    const fs::path copy = dir_ / "image.tar";
    if (!fs::exists(copy)) fs::copy_file(real_images() / "oci.tar", copy);
    fs::permissions(copy, static_cast<fs::perms>(0644));
    // Its first layer, without the kinds of files that a user cannot make.
    const fs::path base = dir_ / "base.tar";
    if (!fs::exists(base)) fs::copy_file(real_images() / "base.tar", base);
    fs::permissions(base, static_cast<fs::perms>(0644));
    return copy;
  }

  const TempDir dir_;
  const std::string who_;
};

const std::string kLoad =
    "podman load -q -i $archive >/dev/null; image=$(podman images -q | head -n 1); ";

// All that a container sees of its image, and what it may do with it.
const std::string kLook =
    "run $image sh -c 'id; cat /etc/os-release; find / \\( -path /proc -o -path /sys -o -path /dev "
    "-o "
    "-path /run -o -path /etc/hosts -o -path /etc/resolv.conf -o -path /etc/hostname -o -path "
    "/etc/mtab \\) -prune -o "
    "-type d -printf \"%p %m %U %G\\n\" -o -printf \"%p %y %m %U %G %s %l %T@\\n\" | sort; echo x "
    "> "
    "/new; mv /usr/share/zoneinfo /opt/z; rm -r /var/lib/dpkg; chown 5:6 /usr/bin/env; stat -c "
    "\"%U "
    "%G %a %s\" /usr/bin/env /usr/bin/passwd /new; ls -R /opt/z /var/lib | sha256sum'";

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

// The layers of an OCI archive as text.
std::vector<std::string> layers_of(const fs::path& archive) {
  const Ran ran = run({"python3", LAYERFS_RUNTIME_SOURCE "/layers.py", archive});
  EXPECT_TRUE(ran.ok()) << ran.err;
  return lines_of(ran.out);
}

// What is in one and not in the other, as far as a person would read.
std::vector<std::string> only_in(const std::vector<std::string>& one,
                                 const std::vector<std::string>& other) {
  const std::set<std::string> known(other.begin(), other.end());
  std::vector<std::string> missing;
  for (const std::string& line : one)
    if (known.count(line) == 0 && missing.size() < 10) missing.push_back(line);
  return missing;
}

void expect_equal_layers(const fs::path& expected, const fs::path& got) {
  const auto one = layers_of(expected), other = layers_of(got);
  EXPECT_GT(one.size(), 1000U);
  EXPECT_THAT(only_in(one, other), IsEmpty());
  EXPECT_THAT(only_in(other, one), IsEmpty());
  EXPECT_EQ(one.size(), other.size());
}

void expect_same_look(Runtime& runtime, const std::string& other) {
  const auto expected = lines_of(runtime(other, kLoad + kLook));
  const auto got = lines_of(runtime(layerfs_program(), kLoad + kLook));
  EXPECT_GT(expected.size(), 5000U);
  EXPECT_THAT(only_in(expected, got), IsEmpty());
  EXPECT_THAT(only_in(got, expected), IsEmpty());
  EXPECT_EQ(got, expected);
}

const std::string kContext =
    "mkdir -p context/tree/sub; echo file > context/file; echo deep > context/tree/sub/deep;"
    "ln -sf sub context/tree/link; cat >context/Containerfile <<EOF\n"
    "FROM $image\n"
    "RUN echo one > /one && mkdir -p /var/data && cp -a /etc /var/data/etc && ln /one /one-more && "
    "rm /var/data/etc/host* /var/data/etc/resolv.conf && cp /bin/true /setuid\n"
    "COPY file tree /opt/copied/\n"
    "RUN rm -rf /usr/share/zoneinfo /etc/cron.daily && mkdir /etc/cron.daily && chown -R 33:44 "
    "/opt/copied && chmod 4755 /setuid && mv /var/data/etc /var/data/moved && rm /etc/passwd- && "
    "setfattr -n user.mark -v set /one 2>/dev/null || true\n"
    "RUN rm -rf /var/data/moved/apt && touch /var/data/moved/new && cat /opt/copied/sub/deep\n"
    "EOF\n";
const std::string kBuild =
    "podman build -q --layers --isolation=chroot --network=host $limits -t localhost/built:1 "
    "context >build.log 2>&1 || { cat build.log; exit 1; };"
    "podman save -q --format oci-archive -o built.tar localhost/built:1; ";

TEST(Podman, RunsAnImageAsOverTheKernelsOverlayfs) {
  Runtime runtime("root");
  expect_same_look(runtime, kKernel);
}

TEST(Podman, RunsTwentyContainersOfOneImageAtOnce) {
  Runtime runtime("root");
  const std::string out = runtime(
      layerfs_program(),
      kLoad +
          "for i in $(seq 20); do run --name c$i $image sh -c \"echo $i > /etc/issue; sleep 1; cat "
          "/etc/issue; rm -r /usr/share/zoneinfo; ls /usr/share | wc -l\" > out-$i & done; wait;"
          "sort -n out-* | uniq -c; mount | grep -c $(dirname $HOME)/store || true");
  std::string expected;
  for (int i = 1; i <= 20; ++i) EXPECT_THAT(out, HasSubstr("1 " + std::to_string(i) + "\n"));
  EXPECT_TRUE(out.ends_with("\n0\n")) << out;
}

TEST(Podman, BuildsTheLayersThatFuseOverlayfsBuilds) {
  Runtime runtime("root");
  runtime(kPeer, kLoad + kContext + kBuild);
  runtime(layerfs_program(), kLoad + kContext + kBuild);
  expect_equal_layers(runtime.file(kPeer, "built.tar"),
                      runtime.file(layerfs_program(), "built.tar"));
}

// A name of hexadecimal digits may be the beginning of an image's, which `podman diff` looks at
// first.
TEST(Podman, CommitsAndResets) {
  Runtime runtime("root");
  const std::string out = runtime(
      layerfs_program(),
      kLoad +
          "podman run --name writer --network=none $limits $image sh -c 'rm /etc/issue; echo > "
          "/new; "
          "chmod 700 /opt'; podman diff writer | sort; podman commit -q writer localhost/c:1 "
          ">/dev/null;"
          "podman rm writer >/dev/null; run localhost/c:1 sh -c 'test -e /etc/issue || ls /new; "
          "stat -c "
          "%a /opt'; podman system reset -f >/dev/null; mount | grep -c $(dirname $HOME)/store || "
          "true; find $HOME/../store/root/overlay -mindepth 1 2>/dev/null | wc -l || true");
  EXPECT_EQ(out, "A /new\nC /etc\nC /opt\nD /etc/issue\n/new\n700\n0\n0\n");
}

TEST(Buildah, MakesTheLayersThatItMakesOnFuseOverlayfs) {
  const std::string script =
      "buildah --log-level error pull -q oci-archive:$archive >image;"
      "c=$(buildah from $(cat image)); buildah run --isolation=chroot $c -- sh -c 'mkdir /made; cp "
      "-a "
      "/usr/share /made; rm -r /usr/share; ln -s made/share /usr/share; mkfifo /made/fifo';"
      "echo x > plain; buildah copy -q $c plain /made/ >/dev/null; m=$(buildah mount $c); chown "
      "7:8 "
      "$m/made/plain; rm -r $m/var/cache; buildah umount $c >/dev/null; buildah commit -q --format "
      "oci "
      "$c oci-archive:built.tar >/dev/null; buildah rm $c >/dev/null";
  Runtime runtime("root");
  runtime(kPeer, script);
  runtime(layerfs_program(), script);
  expect_equal_layers(runtime.file(kPeer, "built.tar"),
                      runtime.file(layerfs_program(), "built.tar"));
}

TEST(RootlessPodman, RunsAnImageAsOverFuseOverlayfs) {
  Runtime runtime("rootless");
  expect_same_look(runtime, kPeer);
}

TEST(RootlessPodman, KeepsTheIdOfTheUser) {
  const std::string script =
      kLoad +
      "keep() { run --userns=keep-id \"$@\"; }; keep $image sh -c 'id -u; touch /tmp/a; stat -c "
      "\"%n %u %g %a\" /tmp/a /etc/shadow /usr/bin/passwd /'; keep -u 0 $image sh -c 'touch /new; "
      "chown 5:6 /new; chown 7 /etc/passwd; stat -c \"%n %u %g %a\" /new /etc/shadow /etc/passwd'";
  Runtime runtime("rootless");
  const std::string out = runtime(layerfs_program(), script);
  EXPECT_THAT(out, HasSubstr("4242\n/tmp/a 4242 4242 644\n/etc/shadow 0 42 640\n"));
  EXPECT_THAT(out, HasSubstr("/new 5 6 644\n"));
  EXPECT_EQ(runtime(kPeer, script), out);
}

// podman itself is a user whom such a mapping does not know, and makes /etc/mtab and mount points.
// A second mapping has all of the layers' first 65536 ids.
TEST(RootlessPodman, StartsContainersWhoseMappingLacksItsOwnId) {
  const std::string look =
      "sh -c 'id -u; readlink /etc/mtab; echo x > /new; stat -c \"%n %u %g\" /new /usr/bin/passwd; "
      "ls -d /volume; chown 5:6 /new; stat -c \"%u %g\" /new; chown 70000 /new 2>/dev/null || echo "
      "refused'; ";
  const auto script = [&](const std::string& count) {
    return "mkdir -p v; run --uidmap 0:1:" + count + " --gidmap 0:1:" + count +
           " -v $PWD/v:/volume $image " + look;
  };
  Runtime runtime("rootless");
  const std::string both = kLoad + script("1000") + script("65536");
  const std::string out = runtime(layerfs_program(), both);
  const std::string one = "0\n/proc/mounts\n/new 0 0\n/usr/bin/passwd 0 0\n/volume\n5 6\nrefused\n";
  EXPECT_EQ(out, one + one);
  EXPECT_EQ(runtime(kPeer, both), out);
}

// A user without subordinate ids: nothing can be chowned, by podman or in the container.
const std::string kOneId =
    "podman import -q $(dirname $archive)/base.tar "
    "localhost/base:1 >/dev/null; run localhost/base:1 sh -c 'id -u; stat -c \"%n %a %u:%g\" "
    "/etc/shadow /usr/bin/chage; echo x > /new; chmod 4755 /new; mkdir /d; chmod 2750 /d; rm -r "
    "/usr/share/zoneinfo; mv /opt /opt2; stat -c \"%a %u:%g\" /new /d; ls -d /opt* /usr/share/z*'"
    " 2>/dev/null || true";

TEST(RootlessPodman, RunsWithOneIdAndIgnoredOwners) {
  Runtime runtime("one-id");
  const std::string out = runtime(layerfs_program(), kOneId);
  EXPECT_EQ(out, "0\n/etc/shadow 640 0:0\n/usr/bin/chage 2755 0:0\n4755 0:0\n2750 0:0\n/opt2\n");
  EXPECT_EQ(runtime(kPeer, kOneId), out);
}

TEST(RootlessPodman, RunsWithOneIdAndRecordedOwners) {
  Runtime runtime("masked");
  const std::string out = runtime(
      layerfs_program(),
      kOneId +
          "; cd $HOME/../store/root/overlay; getfattr -d -m user.containers */diff/etc/shadow");
  EXPECT_THAT(out, HasSubstr("/etc/shadow 640 0:0\n"));
  EXPECT_THAT(out, HasSubstr("4755 0:0\n2750 0:0\n/opt2\n"));
  EXPECT_THAT(out, HasSubstr("user.containers.override_stat=\"0:42:0640\""));
}

TEST(RootlessPodman, BuildsAnImageThatInstallsAPackage) {
  Runtime runtime("rootless");
  const std::string out = runtime(
      layerfs_program(),
      kLoad +
          "mkdir context; cat >context/Containerfile <<EOF\nFROM $image\nRUN apt-get -q update && "
          "DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends "
          "hello\nEOF\n"
          "podman build -q --isolation=chroot --network=host $limits -t localhost/built:1 context "
          ">build.log 2>&1 || { cat build.log; exit 1; };"
          "run localhost/built:1 sh -c 'hello; dpkg --audit; stat -c \"%u %g\" /usr/bin/hello'");
  EXPECT_EQ(out, "Hello, world!\n0 0\n");
}

// Images of the store of layerfs, which podman has never loaded. "on" runs podman with them.
const std::string kImageStore =
    "export LAYERFS_ROOT=$HOME/layers; $layerfs import $archive --name demo >/dev/null 2>&1; "
    "$layerfs image-store >conf; on() { podman --storage-opt overlay.imagestore=$HOME/layers/"
    "image-store \"$@\"; }; grep -q \"\\\"$HOME/layers/image-store\\\"\" conf; ";

std::string with_image_store(const std::string& script) {
  return "layerfs='" + layerfs_program() + "'; " + kImageStore + script;
}

const std::string kUseOfImageStore =
    "on images --format '{{.Repository}}:{{.Tag}} {{.ReadOnly}}'; "
    "on run --rm --network=none $limits demo sh -c 'grep ^ID= /etc/os-release; rm /etc/issue; echo "
    "x > "
    "/new; ls /new; stat -c \"%a %U:%G\" /etc/shadow /usr/bin/passwd'; "
    "mkdir c; printf 'FROM demo\\nRUN echo one > /one && rm -r /usr/share/zoneinfo\\n' "
    ">c/Containerfile; on build -q --isolation=chroot --network=host $limits -t built c >log 2>&1 "
    "|| { cat log; exit 1; }; on run --rm --network=none $limits built sh -c 'cat /one; "
    "ls -d /usr/share/zoneinfo || true' 2>/dev/null; "
    "find $(dirname $HOME)/store/root/overlay -name os-release -path '*/diff/*' | wc -l; ";
constexpr const char* kUsed =
    "localhost/demo:latest true\nID=debian\n/new\n640 "
    "root:shadow\n4755 root:root\none\n0\n";

TEST(Podman, UsesTheImagesOfTheStore) {
  Runtime runtime("root");
  EXPECT_EQ(runtime(layerfs_program(), with_image_store(kUseOfImageStore)), kUsed);
}

TEST(RootlessPodman, UsesTheImagesOfTheUsersStore) {
  Runtime runtime("rootless");
  EXPECT_EQ(runtime(layerfs_program(), with_image_store(kUseOfImageStore)), kUsed);
}

TEST(Podman, HandsOnTheImagesOfTheStoreAsTheyCame) {
  Runtime runtime("root");
  runtime(
      layerfs_program(),
      with_image_store("on save -q --format oci-archive -o saved.tar demo; cp $archive came.tar"));
  expect_equal_layers(runtime.file(layerfs_program(), "came.tar"),
                      runtime.file(layerfs_program(), "saved.tar"));
}

TEST(Podman, SeesWhatTheStoreTakesAndRemoves) {
  Runtime runtime("root");
  const std::string out = runtime(
      layerfs_program(),
      with_image_store(
          "list() { on images --format '{{.Repository}}:{{.Tag}}' | sort; }; "
          "$layerfs import $archive --name other/two:2 >/dev/null; list; $layerfs rmi demo "
          ">/dev/null; list; $layerfs rmi other/two:2 >/dev/null; list; ls "
          "layers/image-store/overlay layers/image-store/overlay/l; $layerfs image-store --remove; "
          "ls layers | grep image || true"));
  EXPECT_EQ(out,
            "localhost/demo:latest\nlocalhost/other/two:2\nlocalhost/other/two:2\n"
            "layers/image-store/overlay:\nl\n\nlayers/image-store/overlay/l:\n");
}

}  // namespace
}  // namespace layerfs::test
