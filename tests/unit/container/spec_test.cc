#include "tools/container/spec.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace layerfs::tools {
namespace {

using nlohmann::json;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;

using Strings = std::vector<std::string>;

class RuntimeConfig : public testing::Test {
 protected:
  RuntimeConfig() {
    process_.args = {"/bin/true"};
    process_.cwd = "/";
    options_.hostname = "box";
  }

  json made() const {
    const auto text = runtime_config(image_, options_, process_, around_);
    EXPECT_TRUE(text) << text.error().sentence;
    return text ? json::parse(*text) : json();
  }
  // The mount on `target`; null if there is none, and an error if there are two.
  json mount_on(const std::string& target) const {
    json found;
    const json config = made();
    for (const json& mount : config["mounts"]) {
      if (mount["destination"] != target) continue;
      EXPECT_TRUE(found.is_null()) << target;
      found = mount;
    }
    return found;
  }
  Strings namespaces() const {
    Strings types;
    const json config = made();
    for (const json& space : config["linux"]["namespaces"]) types.push_back(space["type"]);
    return types;
  }

  store::ImageConfig image_;
  ContainerOptions options_;
  Process process_;
  Surroundings around_;
};

TEST_F(RuntimeConfig, HoldsTheProcess) {
  process_ = {{"/bin/echo", "grüße"}, {"A=1"}, "/srv", {1000, 1001, {6, 44}, "/"}};
  around_.terminal = true;
  const json process = made()["process"];
  EXPECT_EQ(process["args"], (json{"/bin/echo", "grüße"}));
  EXPECT_EQ(process["env"], json{"A=1"});
  EXPECT_EQ(process["cwd"], "/srv");
  EXPECT_EQ(process["terminal"], true);
  EXPECT_EQ(process["user"], (json{{"uid", 1000}, {"gid", 1001}, {"additionalGids", {6, 44}}}));
}

TEST_F(RuntimeConfig, HasTheFilterOfAProfileForItsCapabilities) {
  EXPECT_FALSE(made()["linux"].contains("seccomp"));
  options_.seccomp = {"p", R"({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
    {"names": ["chroot"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_CHROOT"]}},
    {"names": ["raw"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_NET_RAW"]}},
    {"names": ["bpf"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}}]})"};
  EXPECT_EQ(made()["linux"]["seccomp"]["syscalls"],
            (json{{{"names", {"chroot"}}, {"action", "SCMP_ACT_ALLOW"}}}));
  options_.host_network = false;
  EXPECT_EQ(made()["linux"]["seccomp"]["syscalls"].size(), 2U);
}

TEST_F(RuntimeConfig, RefusesAProfileThatIsNone) {
  options_.seccomp = {"/no/profile", "{}"};
  const auto text = runtime_config(image_, options_, process_, around_);
  ASSERT_FALSE(text);
  EXPECT_THAT(text.error().sentence, HasSubstr("'/no/profile' is no seccomp profile"));
}

TEST_F(RuntimeConfig, NamesTheRootAndTheHost) {
  options_.read_only = true;
  const json config = made();
  EXPECT_EQ(config["ociVersion"], "1.0.2");
  EXPECT_EQ(config["root"], (json{{"path", "rootfs"}, {"readonly", true}}));
  EXPECT_EQ(config["hostname"], "box");
}

TEST_F(RuntimeConfig, HasTheNetworkThatIsAskedFor) {
  EXPECT_THAT(namespaces(), Not(Contains("network")));
  EXPECT_THAT(made()["process"]["capabilities"]["bounding"], Not(Contains("CAP_NET_RAW")));
  options_.host_network = false;
  EXPECT_THAT(namespaces(), Contains("network"));
  EXPECT_THAT(made()["process"]["capabilities"]["bounding"], Contains("CAP_NET_RAW"));
}

TEST_F(RuntimeConfig, LeavesNoPowerOverTheMachine) {
  const json capabilities = made()["process"]["capabilities"];
  for (const char* set : {"bounding", "effective", "permitted"}) {
    EXPECT_THAT(capabilities[set], Not(Contains("CAP_SYS_ADMIN"))) << set;
    EXPECT_THAT(capabilities[set], Contains("CAP_CHOWN")) << set;
  }
  EXPECT_FALSE(capabilities.contains("inheritable"));
  EXPECT_EQ(made()["linux"]["resources"]["devices"][0]["allow"], false);
  EXPECT_THAT(made()["linux"]["maskedPaths"], Contains("/proc/kcore"));
}

TEST_F(RuntimeConfig, CgroupNamespacesAreForUnifiedCgroups) {
  EXPECT_THAT(namespaces(), Contains("cgroup"));
  around_.cgroup_namespace = false;
  EXPECT_THAT(namespaces(), Not(Contains("cgroup")));
}

TEST_F(RuntimeConfig, MountsVolumesLast) {
  options_.volumes = {{"/host/a", "/data", false}, {"/host/b", "/etc/hosts", true}};
  around_.etc_files = {"hosts", "resolv.conf"};
  EXPECT_EQ(mount_on("/data")["options"], (json{"rbind", "rprivate"}));
  EXPECT_EQ(mount_on("/etc/hosts")["source"], "/host/b");
  EXPECT_THAT(mount_on("/etc/hosts")["options"], Contains("ro"));
  EXPECT_EQ(mount_on("/etc/resolv.conf")["source"], "resolv.conf");
  EXPECT_EQ(made()["mounts"].back()["destination"], "/etc/hosts");
}

TEST_F(RuntimeConfig, TheImagesVolumesStayWritableInAReadOnlyContainer) {
  image_.volumes = {"/var/lib/data", "/cache"};
  EXPECT_TRUE(mount_on("/cache").is_null());
  options_.read_only = true;
  options_.volumes = {{"/host/a", "/cache", false}};
  EXPECT_THAT(mount_on("/var/lib/data")["options"], Contains("tmpcopyup"));
  EXPECT_EQ(mount_on("/cache")["source"], "/host/a");
}

TEST_F(RuntimeConfig, TellsWhatTheImageSaysAboutItself) {
  image_.os = "linux";
  image_.stop_signal = "SIGQUIT";
  image_.exposed_ports = {"80/tcp", "443"};
  image_.labels = {{"a", "b"}, {"org.opencontainers.image.created", "from the label"}};
  image_.created = "2024-01-01T00:00:00Z";
  const json annotations = made()["annotations"];
  EXPECT_EQ(annotations["org.opencontainers.image.os"], "linux");
  EXPECT_EQ(annotations["org.opencontainers.image.stopSignal"], "SIGQUIT");
  EXPECT_EQ(annotations["org.opencontainers.image.exposedPorts"], "80/tcp,443");
  EXPECT_EQ(annotations["org.opencontainers.image.created"], "from the label");
  EXPECT_EQ(annotations["a"], "b");
  EXPECT_FALSE(annotations.contains("org.opencontainers.image.variant"));
}

TEST_F(RuntimeConfig, WithoutRootTheContainersRootIsTheUser) {
  around_.unprivileged = {1234, 5678};
  process_.user.groups = {6};
  const json config = made();
  EXPECT_THAT(namespaces(), Contains("user"));
  EXPECT_EQ(config["linux"]["uidMappings"][0]["hostID"], 1234);
  EXPECT_EQ(config["linux"]["gidMappings"][0]["hostID"], 5678);
  EXPECT_FALSE(config["linux"].contains("resources"));
  EXPECT_FALSE(config["process"]["user"].contains("additionalGids"));
  EXPECT_EQ(mount_on("/sys")["source"], "/sys");
  EXPECT_THAT(mount_on("/dev/pts")["options"], Not(Contains("gid=5")));
}

TEST_F(RuntimeConfig, WithoutRootNoOtherUserCanBeHad) {
  around_.unprivileged = {1234, 5678};
  process_.user.uid = 33;
  const auto text = runtime_config(image_, options_, process_, around_);
  ASSERT_FALSE(text);
  EXPECT_THAT(text.error().sentence, HasSubstr("--user 0:0"));
}

TEST_F(RuntimeConfig, BytesThatJsonCannotHoldAreRefused) {
  process_.args = {"/bin/echo", "\xff"};
  const auto text = runtime_config(image_, options_, process_, around_);
  ASSERT_FALSE(text);
  EXPECT_THAT(text.error().sentence, HasSubstr("not UTF-8"));
}

}  // namespace
}  // namespace layerfs::tools
