#include "tests/e2e/containerd.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <set>
#include <sstream>
#include <stdexcept>
#include <thread>

#include "tests/support/temp_dir.h"

namespace layerfs::test {
namespace {

namespace fs = std::filesystem;

pid_t start_process(const fs::path& config, const fs::path& log) {
  const pid_t child = fork();
  if (child < 0) throw std::runtime_error("cannot fork");
  if (child > 0) return child;
  const int out = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  dup2(out, STDOUT_FILENO);
  dup2(out, STDERR_FILENO);
  execlp("containerd", "containerd", "-c", config.c_str(), static_cast<char*>(nullptr));
  _exit(127);
}

}  // namespace

Containerd::Containerd(const fs::path& dir, const std::string& more) : dir_(dir) {
  fs::create_directories(dir);
  write_file(dir / "config.toml", "version = 2\nroot = \"" + (dir / "root").string() +
                                      "\"\nstate = \"" + (dir / "state").string() +
                                      "\"\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\", "
                                      "\"io.containerd.internal.v1.opt\"]\n[grpc]\n  address = \"" +
                                      (dir / "socket").string() + "\"\n" + more);
  start();
}

void Containerd::start() {
  process_ = start_process(dir_ / "config.toml", dir_ / "log");
  for (int tries = 0; !ctr("version").ok(); ++tries) {
    if (tries == 100) {
      const std::string log = read_file(dir_ / "log");
      stop(SIGKILL);
      throw std::runtime_error("containerd does not start: " + log);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
}

Containerd::~Containerd() { stop(SIGTERM); }

void Containerd::stop(int signal) {
  if (process_ < 0) return;
  kill(process_, signal);
  waitpid(process_, nullptr, 0);
  process_ = -1;
}

Ran Containerd::ctr(const std::string& arguments) const {
  return shell("ctr --address " + (dir_ / "socket").string() + " -n test " + arguments,
               {.timeout_seconds = 120});
}

void Containerd::import(const fs::path& archive) const {
  const Ran ran =
      ctr("images import --snapshotter overlayfs --base-name localhost/test " + archive.string());
  if (!ran.ok()) throw std::runtime_error("ctr images import: " + ran.out + ran.err);
}

std::string Containerd::snapshots(const std::string& arguments) const {
  const Ran ran = ctr("snapshots --snapshotter overlayfs " + arguments);
  if (!ran.ok()) throw std::runtime_error("ctr snapshots " + arguments + ": " + ran.out + ran.err);
  return ran.out;
}

std::string Containerd::topmost() const {
  // A line is a key, its parent unless it is a base, and its kind, after a line of headings.
  std::istringstream lines(snapshots("ls"));
  std::set<std::string> keys, parents;
  std::string line;
  for (std::getline(lines, line); std::getline(lines, line);) {
    std::istringstream words(line);
    std::string key, parent;
    words >> key >> parent;
    keys.insert(key);
    parents.insert(parent);
  }
  for (const std::string& parent : parents) keys.erase(parent);
  if (keys.size() != 1) throw std::runtime_error("not one topmost snapshot: " + snapshots("ls"));
  return *keys.begin();
}

void Containerd::mount_view(const fs::path& point) const {
  // containerd's garbage collection takes away a view that no lease and no label holds, at any
  // time. What it shows are the image's own snapshots, which stay.
  const Ran ran =
      shell(snapshots("view --target " + point.string() + " view-of-test " + topmost()));
  if (!ran.ok()) throw std::runtime_error("no view of containerd's layers: " + ran.out + ran.err);
}

}  // namespace layerfs::test
