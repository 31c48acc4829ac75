#include "tools/doctor/machine.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <pwd.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <fstream>

#include <fmt/format.h>

#include "fs/fuse/kernel_mount.h"
#include "fs/fuse/passthrough.h"
#include "fs/sys/unique_fd.h"
#include "layerstore/file_util.h"
#include "layerstore/layer_dir.h"
#include "layerstore/store.h"
#include "layerstore/store_dir.h"
#include "tools/container/runtime.h"
#include "tools/doctor/trial.h"

namespace layerfs::tools {

namespace {

namespace stdfs = std::filesystem;

bool has_line(const char* path, const auto& matches) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (matches(line)) return true;
  }
  return false;
}

void look_at_kernel(Machine& machine) {
  utsname names = {};
  ::uname(&names);
  machine.kernel = names.release;
  char dot = 0;
  std::istringstream(machine.kernel) >> machine.kernel_major >> dot >> machine.kernel_minor;
  machine.transport = fuse::automatic_transport();
  machine.libfuse_allows_idmapped = fuse::libfuse_allows_idmapped();
  machine.overlay =
      has_line("/proc/filesystems",
               [](const std::string& line) { return line.ends_with("\toverlay"); }) ||
      stdfs::exists(fmt::format("/lib/modules/{}/kernel/fs/overlayfs", machine.kernel));
}

void look_at_device(Machine& machine) {
  struct stat status = {};
  if (::stat("/dev/fuse", &status) == 0) machine.device_mode = status.st_mode & 07777;
  const sys::UniqueFd device(::open("/dev/fuse", O_RDWR | O_CLOEXEC));
  machine.device = device                              ? DeviceState::kOpens
                   : errno == EACCES || errno == EPERM ? DeviceState::kForbidden
                                                       : DeviceState::kAbsent;
}

void look_at_read_ahead(Machine& machine) {
  std::error_code none;
  for (const auto& device : stdfs::directory_iterator("/sys/class/bdi", none)) {
    // access(2) says yes to root even on a read-only /sys.
    const sys::UniqueFd file(
        ::open((device.path() / "read_ahead_kb").c_str(), O_WRONLY | O_CLOEXEC));
    machine.read_ahead = static_cast<bool>(file);
    return;
  }
}

// mount(8) looks for helpers in these directories only.
std::string mount_helper() {
  for (const char* path : {"/sbin/mount.fuse.layerfs", "/usr/sbin/mount.fuse.layerfs"}) {
    if (::access(path, X_OK) == 0) return path;
  }
  return {};
}

void look_at_helpers(Machine& machine) {
  machine.fusermount = find_program("fusermount3");
  struct stat status = {};
  machine.fusermount_is_setuid = ::stat(machine.fusermount.c_str(), &status) == 0 &&
                                 status.st_uid == 0 && (status.st_mode & S_ISUID) != 0;
  machine.users_allow_other = has_line(
      "/etc/fuse.conf", [](const std::string& line) { return line == "user_allow_other"; });
  machine.mount_helper = mount_helper();
  machine.containerd_helper = find_program("mount.fuse3");
  machine.newuidmap = find_program("newuidmap");
  machine.runc = find_program("runc");
  machine.crun = find_program("crun");
}

long long number_in(const char* path, long long otherwise) {
  std::ifstream file(path);
  long long number = otherwise;
  return file >> number ? number : otherwise;
}

// Tried where it does no harm: in a process that ends at once.
std::string user_namespace_problem() {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(::unshare(CLONE_NEWUSER) == 0 ? 0 : errno);
  int status = 0;
  if (child < 0 || ::waitpid(child, &status, 0) != child || !WIFEXITED(status)) return "unknown";
  if (WEXITSTATUS(status) == 0) return {};
  if (number_in("/proc/sys/user/max_user_namespaces", 1) == 0) {
    return "`sysctl user.max_user_namespaces=15000` as root allows them";
  }
  if (number_in("/proc/sys/kernel/unprivileged_userns_clone", 1) == 0) {
    return "`sysctl kernel.unprivileged_userns_clone=1` as root allows them";
  }
  return std::strerror(WEXITSTATUS(status));
}

// user_namespaces(7): the machine's own maps every id to itself, in one line.
unsigned long ids_of_namespace() {
  std::ifstream map("/proc/self/uid_map");
  unsigned long all = 0;
  for (unsigned long inside = 0, outside = 0, count = 0; map >> inside >> outside >> count;) {
    if (inside == 0 && outside == 0 && count == 4294967295UL) return 0;
    all += count;
  }
  return all;
}

void look_at_user(Machine& machine) {
  const uid_t uid = ::geteuid();
  if (uid == 0) machine.namespace_ids = ids_of_namespace();
  const passwd* entry = ::getpwuid(uid);
  machine.user = entry != nullptr ? entry->pw_name : std::to_string(uid);
  machine.user_namespace_problem = user_namespace_problem();
  for (const char* file : {"/etc/subuid", "/etc/subgid"}) {
    const bool there = has_line(file, [&](const std::string& line) {
      return line.starts_with(machine.user + ":") || line.starts_with(std::to_string(uid) + ":");
    });
    if (!there) machine.missing_subordinates.emplace_back(file);
  }
}

Cgroups look_at_cgroups() {
  struct statfs fs = {};
  if (::statfs("/sys/fs/cgroup", &fs) != 0) return Cgroups::kNone;
  if (fs.f_type == CGROUP2_SUPER_MAGIC) return Cgroups::kUnified;
  if (::statfs("/sys/fs/cgroup/unified", &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC) {
    return Cgroups::kHybrid;
  }
  return Cgroups::kSeparate;
}

// An upper directory's marks, tried on a directory of the store's own.
int mark_error(const store::StoreDir& store, bool privileged) {
  const auto temporary = store::TempDir::make(store);
  if (!temporary) return temporary.error().code;
  const char* name = privileged ? "trusted.overlay.opaque" : "user.overlay.opaque";
  return ::fsetxattr(temporary->fd(), name, "y", 1, 0) == 0 ? 0 : errno;
}

// Whether layers have their owners where this process looks for them.
bool has_layers_of_other_kind(const store::StoreDir& store, bool privileged) {
  const auto wanted = privileged ? store::Ownership::kReal : store::Ownership::kRecorded;
  for (const std::string& key :
       store::list_dir(store.fd(), store::kLayers).value_or(std::vector<std::string>())) {
    const auto layer = store::lease_layer(store, key);
    if (layer && layer->ownership != wanted) return true;
  }
  return false;
}

// Why its images cannot be listed; notes those that are broken.
std::string index_problem(Machine& machine) {
  const auto store = store::Store::open(machine.store);
  if (!store) return store.error().sentence;
  const auto images = store->images(machine.broken_images);
  return images ? "" : images.error().sentence;
}

void look_at_store(Machine& machine) {
  if (::access(machine.store.c_str(), F_OK) != 0 && errno == ENOENT) return;
  const auto store = store::StoreDir::open(machine.store);
  if (!store) {
    machine.store_state = StoreState::kUnusable;
    machine.store_problem = store.error().sentence;
    return;
  }
  const int error = mark_error(*store, machine.privileged);
  if (error == EACCES || error == EPERM || error == EROFS) {
    machine.store_state = StoreState::kForeign;
  } else if (error != 0) {
    machine.store_state = StoreState::kNoXattrs;
    machine.store_problem = std::strerror(error);
  } else if (const auto problem = index_problem(machine); !problem.empty()) {
    machine.store_state = StoreState::kUnusable;
    machine.store_problem = problem;
  } else if (has_layers_of_other_kind(*store, machine.privileged)) {
    machine.store_state = StoreState::kOtherKind;
  } else {
    machine.store_state = StoreState::kGood;
  }
}

}  // namespace

Machine look_at_machine(const std::string& store) {
  Machine machine;
  machine.privileged = fuse::may_pass_through();
  machine.store = store;
  look_at_kernel(machine);
  look_at_device(machine);
  look_at_read_ahead(machine);
  look_at_helpers(machine);
  look_at_user(machine);
  machine.cgroups = look_at_cgroups();
  look_at_store(machine);
  if (const auto tried = try_mount()) {
    machine.trial = *tried;
  } else {
    machine.trial_problem = tried.error().sentence;
  }
  return machine;
}

}  // namespace layerfs::tools
