// The seccomp filter of a container, as podman and as layerfs write it.
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/e2e/layerfs.h"
#include "tests/support/command.h"
#include "tests/support/image.h"
#include "tests/support/tar.h"
#include "tests/support/temp_dir.h"

namespace layerfs::test {
namespace {

using nlohmann::json;

// An image with one file, as an archive, and in a store as "demo".
struct Image {
  TempDir dir;
  std::string archive = dir / "image.tar";
  Layerfs layerfs;

  Image() {
    write_docker_archive(archive, "demo:1",
                         {{make_tar({tar_dir("bin"), tar_file("bin/true", "x", 0755)})}});
    const Ran ran = layerfs({"import", archive, "--name", "demo"});
    EXPECT_TRUE(ran.ok()) << ran.err;
  }
};

const Image& image() {
  static const Image only;
  return only;
}

// The config.json that podman writes for a container with these capabilities.
json podmans_config(const json& capabilities, const std::string& more) {
  const TempDir dir;
  std::string added;
  for (const json& capability : capabilities)
    added += " --cap-add " + capability.get<std::string>();
  const Ran ran =
      run({LAYERFS_RUNTIME_SOURCE "/with-podman", "root", "", dir / "podman",
           "image=$(podman load -q -i " + image().archive +
               " | sed 's/.*: //'); podman create -q --name c --network=none $limits " + more +
               " --cap-drop all" + added +
               " $image /bin/true >/dev/null; podman init c >/dev/null;"
               "cat $(podman inspect -f '{{.OCIConfigPath}}' c); podman rm -f c >/dev/null"},
          {.timeout_seconds = 300});
  EXPECT_TRUE(ran.ok()) << ran.err;
  const json config = json::parse(ran.out, nullptr, false);
  EXPECT_TRUE(config.is_object()) << ran.out;
  return config;
}

// The same of ours.
json our_config(const Layerfs& layerfs, const std::vector<std::string>& options) {
  const TempDir dir;
  std::vector<std::string> words = {"bundle", "--no-mount"};
  words.insert(words.end(), options.begin(), options.end());
  words.insert(words.end(), {"demo", dir / "bundle", "--", "/bin/true"});
  const Ran ran = layerfs(words);
  EXPECT_TRUE(ran.ok()) << ran.err;
  return json::parse(read_file(dir / "bundle/config.json"), nullptr, false);
}

class Seccomp : public ::testing::Test {
 protected:
  void expect_equal(const std::vector<std::string>& options, const std::string& podmans) const {
    const json ours = our_config(layerfs_, options);
    const json theirs = podmans_config(ours["process"]["capabilities"]["bounding"], podmans);
    EXPECT_GT(ours["linux"]["seccomp"]["syscalls"].size(), 0U);
    EXPECT_EQ(json::diff(theirs["linux"]["seccomp"], ours["linux"]["seccomp"]), json::array());
  }

  const Layerfs& layerfs_ = image().layerfs;
};

TEST_F(Seccomp, IsThatOfPodman) { expect_equal({}, ""); }

TEST_F(Seccomp, IsThatOfPodmanForOtherCapabilities) { expect_equal({"--network", "none"}, ""); }

TEST_F(Seccomp, OfAnotherProfileIsThatOfPodman) {
  const TempDir dir;
  write_file(dir / "profile", R"({"defaultAction": "SCMP_ACT_LOG",
    "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]},
                {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]}],
    "syscalls": [
      {"names": ["personality"], "action": "SCMP_ACT_LOG", "includes": {}, "excludes": {},
       "args": [{"index": 0, "value": 8, "valueTwo": 0, "op": "SCMP_CMP_EQ"}]},
      {"names": ["read", "write"], "action": "SCMP_ACT_LOG", "args": [], "comment": "all"},
      {"names": ["mknod"], "action": "SCMP_ACT_ALLOW", 
       "includes": {"caps": ["CAP_MKNOD"]}},
      {"names": ["bpf"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1, "includes": {"caps": ["CAP_BPF"]}},
      {"names": ["arch_prctl"], "action": "SCMP_ACT_LOG", "includes": {"arches": ["amd64"]}},
      {"names": ["chroot"], "action": "SCMP_ACT_LOG", "excludes": {"caps": ["CAP_SYS_CHROOT"]}}
    ]})");
  expect_equal({"--seccomp", dir / "profile"},
               "--security-opt seccomp=" + (dir / "profile").string());
}

TEST_F(Seccomp, IsLeftOutWhereThatIsAskedFor) {
  for (const char* word : {"unconfined", "none"})
    EXPECT_FALSE(our_config(layerfs_, {"--seccomp", word})["linux"].contains("seccomp"));
}

TEST_F(Seccomp, WithoutAProfileNothingRuns) {
  const Ran ran =
      run({"unshare", "--mount", "--propagation", "private", "sh", "-ec",
           "mount -t tmpfs none /usr/share/containers; [ ! -e /etc/containers ] ||"
           "mount -t tmpfs none /etc/containers; exec \"$@\"",
           "sh", layerfs_program(), "--root", layerfs_.store(), "run", "demo", "--", "/bin/true"});
  EXPECT_EQ(ran.status, 125);
  EXPECT_THAT(ran.err, testing::HasSubstr("there is no seccomp profile at /etc/containers/"));
  EXPECT_THAT(ran.err, testing::HasSubstr("--seccomp unconfined"));
}

}  // namespace
}  // namespace layerfs::test
