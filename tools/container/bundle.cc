#include "tools/container/bundle.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "fs/sys/file.h"
#include "fs/sys/trusted_dir.h"
#include "layerstore/file_util.h"
#include "tools/container/rootfs.h"

namespace layerfs::tools {

namespace {

constexpr const char* kRootfs = "rootfs";
constexpr const char* kConfig = "config.json";
constexpr const char* kHosts = "hosts";
constexpr const char* kResolver = "resolv.conf";

std::string read_host_file(const char* path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

Outcome<void> write_in(int bundle, const char* name, const std::string& text) {
  if (const auto written = store::replace_file(bundle, name, text); !written) {
    return refuse("the bundle's " + std::string(name) + " cannot be written", written.error());
  }
  // Whoever runs in the container reads it.
  if (::fchmodat(bundle, name, 0644, 0) != 0) {
    return refuse("the bundle's " + std::string(name) + " cannot be made readable", Errno::last());
  }
  return {};
}

// A container in the host's network asks the host's name servers.
Outcome<std::vector<std::string>> write_etc_files(int bundle, const ContainerOptions& options) {
  if (!options.host_network) return std::vector<std::string>();
  const std::string hosts = read_host_file("/etc/hosts");
  LAYERFS_TRY(write_in(bundle, kHosts,
                       (hosts.empty() ? "127.0.0.1\tlocalhost\n::1\tlocalhost\n" : hosts) +
                           "127.0.1.1\t" + options.hostname + "\n"));
  LAYERFS_TRY(write_in(bundle, kResolver, read_host_file("/etc/resolv.conf")));
  return std::vector<std::string>{kHosts, kResolver};
}

// Whoever can change a bundle says what its container is.
Outcome<void> fill_bundle(const std::string& directory) {
  Outcome<sys::TrustedDir> bundle = sys::open_trusted(directory);
  if (!bundle) {
    return refuse("the bundle '" + directory + "' cannot be made: " + bundle.error().sentence,
                  bundle.error().code);
  }
  const auto names = store::list_dir(bundle->fd.get(), ".");
  if (!names || !names->empty()) {
    return refuse("'" + directory + "' is not an empty directory; choose another for the bundle",
                  EEXIST);
  }
  const auto rootfs = sys::make_dir(bundle->fd.get(), kRootfs, 0700);
  if (!rootfs) return refuse("the bundle '" + directory + "' cannot be made", rootfs.error());
  return {};
}

bool has_unified_cgroups() {
  struct statfs fs = {};
  return ::statfs("/sys/fs/cgroup", &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC;
}

// What is mounted there comes before what the image has, and nothing of the image is followed.
bool lies_in_system(const std::string& path) {
  for (const char* top : {"/dev", "/proc", "/sys"}) {
    const auto relative = std::filesystem::path(path).lexically_normal().lexically_relative(top);
    if (!relative.empty() && *relative.begin() != "..") return true;
  }
  return false;
}

// The mount points of what a user shows in the container, by their real paths in it.
Outcome<void> settle_volumes(const std::string& rootfs, std::vector<Volume>& volumes) {
  for (Volume& volume : volumes) {
    if (lies_in_system(volume.target)) continue;
    LAYERFS_TRY_ASSIGN(volume.target, real_path_in(rootfs, volume.target));
    std::error_code unknown;
    const bool is_dir = std::filesystem::is_directory(volume.source, unknown);
    MountPoints point;
    (is_dir ? point.directories : point.files).push_back(volume.target);
    LAYERFS_TRY(make_mount_points(rootfs, point, false));
  }
  return {};
}

// A runtime works in /dev, /proc and /sys by their paths, before it enters the container: where the
// image had symlinks there they would lead it elsewhere on this machine.
Outcome<void> prepare_rootfs(const std::string& rootfs, const store::ImageConfig& image,
                             const Process& process, bool looking_only) {
  MountPoints points{.directories = {"/dev", "/proc", "/sys"}, .files = {}};
  LAYERFS_TRY(make_mount_points(rootfs, points, looking_only));
  if (looking_only) return {};
  for (const std::string& volume : image.volumes) LAYERFS_TRY(make_directories(rootfs, volume));
  if (lies_in_system(process.cwd)) return {};
  return make_directories(rootfs, process.cwd);
}

Outcome<void> prepare_etc(const std::string& rootfs, const std::vector<std::string>& etc_files) {
  MountPoints points;
  for (const std::string& file : etc_files) points.files.push_back("/etc/" + file);
  return make_mount_points(rootfs, points, false);
}

}  // namespace

std::string rootfs_of(const std::string& bundle) { return bundle + "/" + kRootfs; }

Outcome<bool> make_bundle(const std::string& directory) {
  const bool made = ::mkdir(directory.c_str(), 0700) == 0;
  if (!made && errno != EEXIST) {
    return refuse("the bundle '" + directory + "' cannot be made", Errno::last());
  }
  auto filled = fill_bundle(directory);
  if (filled) return made;
  if (made) ::rmdir(directory.c_str());
  return tl::make_unexpected(std::move(filled.error()));
}

void remove_bundle(const std::string& directory, bool with_directory) {
  if (const auto bundle = sys::open_path(directory.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW)) {
    for (const char* name : {kConfig, kHosts, kResolver, "pid", "runtime.log"}) {
      static_cast<void>(sys::unlink_at(bundle->get(), name));
    }
    // Not a tree: if something is mounted there, it stays.
    static_cast<void>(sys::remove_dir(bundle->get(), kRootfs));
  }
  if (with_directory) ::rmdir(directory.c_str());
}

Outcome<void> write_bundle(const std::string& directory, const store::ImageConfig& image,
                           const ContainerOptions& options, bool terminal, bool looking_only) {
  const std::string rootfs = rootfs_of(directory);
  LAYERFS_TRY_ASSIGN(const UserFiles files, read_user_files(rootfs));
  LAYERFS_TRY_ASSIGN(const ContainerUser user,
                     find_user(options.user.empty() ? image.user : options.user, files));
  LAYERFS_TRY_ASSIGN(const Process process, process_of(image, options, user, terminal));
  LAYERFS_TRY(prepare_rootfs(rootfs, image, process, looking_only));
  ContainerOptions settled = options;
  if (!looking_only) LAYERFS_TRY(settle_volumes(rootfs, settled.volumes));
  auto bundle = sys::open_path(directory.c_str(), O_RDONLY | O_DIRECTORY);
  if (!bundle) return refuse("the bundle '" + directory + "' cannot be opened", bundle.error());

  Surroundings surroundings;
  surroundings.terminal = terminal;
  surroundings.cgroup_namespace = has_unified_cgroups();
  if (::geteuid() != 0) surroundings.unprivileged = {::geteuid(), ::getegid()};
  LAYERFS_TRY_ASSIGN(surroundings.etc_files, write_etc_files(bundle->get(), options));
  if (!looking_only) LAYERFS_TRY(prepare_etc(rootfs, surroundings.etc_files));
  LAYERFS_TRY_ASSIGN(const std::string config,
                     runtime_config(image, settled, process, surroundings));
  return write_in(bundle->get(), kConfig, config);
}

}  // namespace layerfs::tools
