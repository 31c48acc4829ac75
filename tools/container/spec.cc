#include "tools/container/spec.h"

#include <algorithm>
#include <array>
#include <cerrno>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

namespace layerfs::tools {

namespace {

using Json = nlohmann::ordered_json;
using Strings = std::vector<std::string>;

// What Docker and podman leave to root in a container, but for raw sockets in the host's network.
constexpr std::array kCapabilities = {
    "CAP_AUDIT_WRITE", "CAP_CHOWN",  "CAP_DAC_OVERRIDE",     "CAP_FOWNER",  "CAP_FSETID",
    "CAP_KILL",        "CAP_MKNOD",  "CAP_NET_BIND_SERVICE", "CAP_SETFCAP", "CAP_SETGID",
    "CAP_SETPCAP",     "CAP_SETUID", "CAP_SYS_CHROOT"};

// Parts of /proc and /sys that tell about, or change, the machine.
constexpr std::array kMaskedPaths = {
    "/proc/acpi",          "/proc/asound",   "/proc/kcore",       "/proc/keys",
    "/proc/latency_stats", "/proc/scsi",     "/proc/sched_debug", "/proc/timer_list",
    "/proc/timer_stats",   "/sys/dev/block", "/sys/firmware"};
constexpr std::array kReadonlyPaths = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                                       "/proc/sysrq-trigger"};

Json mount_json(const std::string& target, const std::string& type, const std::string& source,
                const Strings& options) {
  return {{"destination", target}, {"type", type}, {"source", source}, {"options", options}};
}

// runtime-spec, config-linux.md: what every Linux container has.
Json system_mounts(const Surroundings& surroundings) {
  Strings pts = {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"};
  // A group that is not mapped cannot own anything.
  if (!surroundings.unprivileged) pts.emplace_back("gid=5");
  return {
      mount_json("/proc", "proc", "proc", {"nosuid", "noexec", "nodev"}),
      mount_json("/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}),
      mount_json("/dev/pts", "devpts", "devpts", pts),
      mount_json("/dev/shm", "tmpfs", "shm",
                 {"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}),
      mount_json("/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"})};
}

void add_sys(Json& mounts, bool host_network, const Surroundings& surroundings) {
  const Strings options = {"nosuid", "noexec", "nodev", "ro"};
  if (surroundings.unprivileged && host_network) {
    // A new sysfs is for the owner of the network namespace only.
    mounts.push_back(
        mount_json("/sys", "none", "/sys", {"rbind", "nosuid", "noexec", "nodev", "ro"}));
    return;
  }
  mounts.push_back(mount_json("/sys", "sysfs", "sysfs", options));
  if (surroundings.unprivileged) return;
  mounts.push_back(mount_json("/sys/fs/cgroup", "cgroup", "cgroup",
                              {"nosuid", "noexec", "nodev", "relatime", "ro"}));
}

bool is_taken(const ContainerOptions& options, const std::string& target) {
  return std::ranges::find(options.volumes, target, &Volume::target) != options.volumes.end();
}

Json mounts_of(const store::ImageConfig& image, const ContainerOptions& options,
               const Surroundings& surroundings) {
  Json mounts = system_mounts(surroundings);
  add_sys(mounts, options.host_network, surroundings);
  for (const std::string& file : surroundings.etc_files) {
    if (is_taken(options, "/etc/" + file)) continue;
    mounts.push_back(
        mount_json("/etc/" + file, "bind", file, {"bind", "rprivate", "nosuid", "nodev"}));
  }
  if (options.read_only) {
    for (const std::string& volume : image.volumes) {
      if (is_taken(options, volume)) continue;
      mounts.push_back(mount_json(volume, "tmpfs", "tmpfs", {"nosuid", "nodev", "tmpcopyup"}));
    }
  }
  for (const Volume& volume : options.volumes) {
    Strings how = {"rbind", "rprivate"};
    if (volume.read_only) how.emplace_back("ro");
    mounts.push_back(mount_json(volume.target, "bind", volume.source, how));
  }
  return mounts;
}

Json namespaces_of(const ContainerOptions& options, const Surroundings& surroundings) {
  Json namespaces = Json::array();
  for (const char* type : {"pid", "ipc", "uts", "mount"}) namespaces.push_back({{"type", type}});
  if (!options.host_network) namespaces.push_back({{"type", "network"}});
  if (surroundings.cgroup_namespace) namespaces.push_back({{"type", "cgroup"}});
  if (surroundings.unprivileged) namespaces.push_back({{"type", "user"}});
  return namespaces;
}

Strings capabilities_of(const ContainerOptions& options) {
  Strings capabilities(kCapabilities.begin(), kCapabilities.end());
  // In the host's network they would be for the host's interfaces.
  if (!options.host_network) capabilities.emplace_back("CAP_NET_RAW");
  return capabilities;
}

Json linux_of(const ContainerOptions& options, const Surroundings& surroundings) {
  Json part = {{"namespaces", namespaces_of(options, surroundings)},
               {"maskedPaths", kMaskedPaths},
               {"readonlyPaths", kReadonlyPaths}};
  if (const auto& ids = surroundings.unprivileged) {
    part["uidMappings"] = {{{"containerID", 0}, {"hostID", ids->uid}, {"size", 1}}};
    part["gidMappings"] = {{{"containerID", 0}, {"hostID", ids->gid}, {"size", 1}}};
  } else {
    part["resources"] = {{"devices", {{{"allow", false}, {"access", "rwm"}}}}};
  }
  return part;
}

Json process_json(const ContainerOptions& options, const Process& process,
                  const Surroundings& surroundings) {
  const Strings capabilities = capabilities_of(options);
  Json user = {{"uid", process.user.uid}, {"gid", process.user.gid}};
  // Who is not privileged may not set groups.
  if (!surroundings.unprivileged && !process.user.groups.empty()) {
    user["additionalGids"] = process.user.groups;
  }
  return {{"terminal", surroundings.terminal},
          {"user", user},
          {"args", process.args},
          {"env", process.env},
          {"cwd", process.cwd},
          {"capabilities",
           {{"bounding", capabilities}, {"effective", capabilities}, {"permitted", capabilities}}},
          {"noNewPrivileges", false}};
}

// image-spec, conversion.md, "Annotation Fields"; the image's labels win.
Json annotations_of(const store::ImageConfig& image) {
  const std::string prefix = "org.opencontainers.image.";
  Json annotations = Json::object();
  const auto add = [&](const char* name, const std::string& value) {
    if (!value.empty()) annotations[prefix + name] = value;
  };
  add("os", image.os);
  add("architecture", image.architecture);
  add("variant", image.variant);
  add("created", image.created);
  add("stopSignal", image.stop_signal);
  add("exposedPorts", fmt::format("{}", fmt::join(image.exposed_ports, ",")));
  for (const auto& [name, value] : image.labels) annotations[name] = value;
  return annotations;
}

}  // namespace

Outcome<std::string> runtime_config(const store::ImageConfig& image,
                                    const ContainerOptions& options, const Process& process,
                                    const Surroundings& surroundings) {
  if (surroundings.unprivileged && (process.user.uid != 0 || process.user.gid != 0)) {
    return refuse(
        fmt::format("without root a container has one user, its root, who is you outside; the "
                    "image or --user asks for {}:{}: give --user 0:0",
                    process.user.uid, process.user.gid),
        EPERM);
  }
  Json config = {{"ociVersion", "1.0.2"},
                 {"process", process_json(options, process, surroundings)},
                 {"root", {{"path", "rootfs"}, {"readonly", options.read_only}}},
                 {"hostname", options.hostname},
                 {"mounts", mounts_of(image, options, surroundings)},
                 {"annotations", annotations_of(image)},
                 {"linux", linux_of(options, surroundings)}};
  if (options.seccomp) {
    LAYERFS_TRY_ASSIGN(const std::string filter,
                       seccomp_filter(*options.seccomp, seccomp_subject(capabilities_of(options))));
    config["linux"]["seccomp"] = Json::parse(filter);
  }
  try {
    return config.dump(2) + "\n";
  } catch (const Json::type_error&) {
    return refuse(
        "the command, the environment or a path holds bytes that are not UTF-8, which a runtime's "
        "config.json cannot hold",
        EILSEQ);
  }
}

}  // namespace layerfs::tools
