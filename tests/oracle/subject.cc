#include "tests/oracle/subject.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>

#include <fmt/format.h>

#include "fs/layer/index_writer.h"
#include "fs/sys/unique_fd.h"
#include "tests/oracle/forked.h"
#include "tests/oracle/process.h"

namespace layerfs::oracle {
namespace {

constexpr std::chrono::seconds kMountLimit{20};
constexpr std::chrono::seconds kUnmountLimit{20};

bool wait_for(std::chrono::seconds limit, const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    ::usleep(1000);
  }
  return true;
}

std::string option_string(const Subject& subject, const MountPlan& plan) {
  std::string lowers;
  for (const std::string& lower : plan.lowers) lowers += (lowers.empty() ? "" : ":") + lower;
  std::string all =
      fmt::format("lowerdir={},upperdir={},workdir={}", lowers, plan.upper, plan.work);
  // fuse-overlayfs does not start with redirect_dir=on and knows none of the others.
  if (!plan.options.empty() && subject.kind != SubjectKind::kFuseOverlayfs)
    all += "," + plan.options;
  if (subject.aufs && subject.kind == SubjectKind::kLayerfs) all += ",whiteouts=aufs";
  if (!subject.extra.empty()) all += "," + subject.extra;
  return all;
}

// The index of each lower, written beside it: what to give as layerindex=.
Outcome<std::string> write_indexes(const Subject& subject, const MountPlan& plan) {
  const layer::Whiteouts whiteouts =
      subject.aufs ? layer::Whiteouts::kAufs : layer::Whiteouts::kOverlay;
  const bool user_xattr = plan.options.find("userxattr") != std::string::npos;
  std::string indexes;
  for (const std::string& lower : plan.lowers) {
    const std::filesystem::path index = lower + ".index";
    const sys::UniqueFd tree(::open(lower.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    const sys::UniqueFd beside(
        ::open(index.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!tree || !beside) return refuse("cannot open " + lower, Errno::last());
    LAYERFS_TRY(layer::write_index(tree.get(), beside.get(), index.filename().c_str(), user_xattr,
                                   whiteouts));
    indexes += (indexes.empty() ? "" : ":") + index.string();
  }
  return indexes;
}

// The minor device number of what is mounted at `target`; empty when nothing is. Asks the kernel's
// table and not the mount itself, which might hang.
std::string mounted_device(const std::string& target) {
  std::ifstream table("/proc/self/mountinfo");
  std::string device;
  for (std::string line; std::getline(table, line);) {
    std::istringstream words(line);
    std::string id, parent, numbers, root, point;
    words >> id >> parent >> numbers >> root >> point;
    if (point == target) device = numbers.substr(numbers.find(':') + 1);
  }
  return device;
}

std::string describe_status(int status) {
  if (WIFSIGNALED(status)) return fmt::format("signal {}", WTERMSIG(status));
  return WEXITSTATUS(status) == 0 ? "" : fmt::format("exit {}", WEXITSTATUS(status));
}

}  // namespace

Outcome<Subject> parse_subject(const std::string& name, const std::string& layerfs_program) {
  if (name == "overlay") return Subject{SubjectKind::kOverlay, "", ""};
  if (name == "fuse-overlayfs") return Subject{SubjectKind::kFuseOverlayfs, name, ""};
  if (name == "layerfs" || name == "layerfs-indexed")
    return Subject{SubjectKind::kLayerfs, layerfs_program, "", name != "layerfs"};
  return refuse(
      fmt::format("no subject {}: overlay, fuse-overlayfs, layerfs or layerfs-indexed", name),
      EINVAL);
}

Outcome<std::unique_ptr<LiveMount>> LiveMount::mount(const Subject& subject,
                                                     const MountPlan& plan) {
  std::string options = option_string(subject, plan);
  if (subject.indexed) {
    LAYERFS_TRY_ASSIGN(const std::string indexes, write_indexes(subject, plan));
    options += ",layerindex=" + indexes;
  }
  if (subject.kind == SubjectKind::kOverlay) {
    if (::mount("overlay", plan.target.c_str(), "overlay", MS_NOATIME, options.c_str()) != 0)
      return refuse("the kernel does not mount " + options, Errno::last());
    std::unique_ptr<LiveMount> live(new LiveMount(plan.target, 0));
    live->mounted_ = true;
    return live;
  }
  if (subject.kind == SubjectKind::kLayerfs) options += ",noatime";
  const std::vector<std::string> arguments =
      subject.kind == SubjectKind::kLayerfs
          ? std::vector<std::string>{subject.program, "mount",    "--foreground", "-o",
                                     options,         plan.target}
          : std::vector<std::string>{subject.program, "-f", "-o", options, plan.target};
  LAYERFS_TRY_ASSIGN(const pid_t daemon, start_program(arguments, plan.log));
  std::unique_ptr<LiveMount> live(new LiveMount(plan.target, daemon));
  LAYERFS_TRY(live->wait_until_live(plan.log));
  return live;
}

Outcome<void> LiveMount::wait_until_live(const std::string& log) {
  wait_for(kMountLimit, [&] {
    device_ = mounted_device(target_);
    return !device_.empty() || !daemon_death().empty() || daemon_ == 0;
  });
  mounted_ = !device_.empty();
  if (mounted_) return answers();
  return refuse(fmt::format("the subject does not mount ({}): {}", daemon_death(), read_text(log)),
                EIO);
}

// The mount is in the table before the daemon has agreed with the kernel on the protocol.
Outcome<void> LiveMount::answers() {
  const ForkedResult asked = run_forked(
      [&](int) {
        struct stat st = {};
        ::_exit(::stat(target_.c_str(), &st) == 0 ? 0 : 1);
      },
      kMountLimit, [&] { abort(); });
  if (asked.end == ForkedEnd::kDone) return {};
  return refuse("the mount does not answer: " + asked.detail, EIO);
}

LiveMount::~LiveMount() {
  if (mounted_) {
    abort();
    ::umount2(target_.c_str(), MNT_DETACH);
  }
  if (daemon_ == 0) return;
  ::kill(daemon_, SIGKILL);
  wait_for(kUnmountLimit, [&] { return ::waitpid(daemon_, &status_, WNOHANG) != 0; });
}

Outcome<void> LiveMount::unmount() {
  // A child that was killed in a system call may hold the mount a moment longer.
  const bool gone =
      wait_for(kUnmountLimit, [&] { return ::umount2(target_.c_str(), 0) == 0 || errno != EBUSY; });
  if (!gone) return refuse("the mount stays busy", EBUSY);
  mounted_ = false;
  return wait_for_daemon();
}

Outcome<void> LiveMount::wait_for_daemon() {
  if (daemon_ == 0) {
    const std::string end = describe_status(status_);
    return end.empty() ? Outcome<void>() : refuse("the daemon ended with " + end, EIO);
  }
  if (!wait_for(kUnmountLimit, [&] { return ::waitpid(daemon_, &status_, WNOHANG) != 0; }))
    return refuse("the daemon does not end after the unmount", ETIMEDOUT);
  daemon_ = 0;
  return wait_for_daemon();
}

void LiveMount::abort() {
  if (device_.empty()) return;
  std::ofstream("/sys/fs/fuse/connections/" + device_ + "/abort") << "1";
}

std::string LiveMount::daemon_death() {
  if (daemon_ != 0 && ::waitpid(daemon_, &status_, WNOHANG) != 0) daemon_ = 0;
  return daemon_ == 0 ? describe_status(status_) : "";
}

}  // namespace layerfs::oracle
