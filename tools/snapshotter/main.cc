#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <optional>
#include <sstream>
#include <string>

#include <CLI/CLI.hpp>
#include <spdlog/spdlog.h>

#include "fs/fuse/confinement.h"
#include "fs/sys/interruption.h"
#include "fs/sys/shedding.h"
#include "snapshotter/snapshotter.h"
#include "tools/command_line.h"
#include "tools/io.h"
#include "tools/log.h"
#include "tools/snapshotter/service.h"
#include "tools/snapshotter/socket.h"

namespace layerfs::snapshotter {

namespace {

constexpr const char* kProgram = "layerfs-snapshotter";
constexpr const char* kDefaultAddress = "/run/layerfs-snapshotter/snapshotter.sock";

// Read if it is there.
constexpr const char* kDefaultConfig = "/etc/layerfs/snapshotter.toml";

struct Arguments {
  std::string root = tools::default_store_root();
  std::string address = kDefaultAddress;
  std::string mount = "helper";
  std::string unpack = "overlay";
  std::string log_level = "info";
  Options options;
};

void add_options(CLI::App& app, Arguments& arguments) {
  app.set_version_flag("--version", "layerfs-snapshotter " LAYERFS_VERSION);
  app.set_config("--config", kDefaultConfig,
                 "Read options from a file: NAME = VALUE, as below without the --");
  app.add_option("--root", arguments.root, "The store")
      ->envname("LAYERFS_ROOT")
      ->type_name("DIR")
      ->capture_default_str();
  app.add_option("--address", arguments.address,
                 "The socket, unless the service manager passes one")
      ->type_name("SOCKET")
      ->capture_default_str();
  app.add_option("--mount", arguments.mount,
                 "Who mounts: containerd, by the mount helper, or this program (daemon)")
      ->check(CLI::IsMember({"helper", "daemon"}))
      ->capture_default_str();
  app.add_option("--helper", arguments.options.helper,
                 "layerfs: a name on the PATH of containerd and its shims, or an absolute path")
      ->capture_default_str();
  app.add_option("--unpack", arguments.unpack,
                 "How layers are unpacked: as the kernel's overlay, or through layerfs")
      ->check(CLI::IsMember({"overlay", "layerfs"}))
      ->capture_default_str();
  app.add_flag("!--no-sync", arguments.options.sync,
               "Do not wait for the disk before a layer is committed");
  app.add_option("--log-level", arguments.log_level, "What is told on standard error")
      ->check(CLI::IsMember({"error", "warning", "info", "debug"}))
      ->capture_default_str();
}

// Readable when the process is asked to end. All threads started later leave the signals to it.
Outcome<sys::UniqueFd> end_signals() {
  ::signal(SIGPIPE, SIG_IGN);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  sys::UniqueFd fd(::signalfd(-1, &set, SFD_CLOEXEC));
  if (!fd) return refuse("cannot wait for signals", Errno::last());
  return fd;
}

// What it hands on is what daemons of mounts need (--mount=daemon), which drop the last of it.
void give_up_privileges() {
  const sys::CapabilitySet needed =
      fuse::needed_capabilities() | sys::capability_set({CAP_SETPCAP});
  sys::shed_privileges(needed, needed);
  // Without root mounts are made by fusermount3, which is setuid.
  if (::geteuid() == 0) sys::gain_no_privileges();
}

void prepare_process() {
  tools::fill_standard_descriptors();
  ::umask(022);
  tools::log_to_stderr(kProgram);
  give_up_privileges();
}

Outcome<void> run(const Arguments& arguments) {
  LAYERFS_TRY_ASSIGN(const sys::UniqueFd stop, end_signals());
  LAYERFS_TRY_ASSIGN(sys::UniqueFd listening, inherited_socket());
  const bool own_socket = !listening;
  auto snapshots = Snapshotter::open(arguments.root, arguments.options);
  if (!snapshots) return refuse(snapshots.error().sentence);
  if (own_socket) {
    LAYERFS_TRY_ASSIGN(listening, listen_at(arguments.address));
  }
  {
    Service service(**snapshots);
    spdlog::info("serving the store {} at {}", arguments.root,
                 own_socket ? arguments.address : "the service manager's socket");
    LAYERFS_TRY(accept_until(listening.get(), stop.get(), [&](sys::UniqueFd connection) {
      service.serve(std::move(connection));
    }));
    // The service waits for the calls that it has begun: those that take long give up.
    sys::request_interruption();
  }
  if (own_socket) ::unlink(arguments.address.c_str());
  return {};
}

int run_program(int argc, char** argv) {
  CLI::App app("layerfs as a snapshotter of containerd", kProgram);
  tools::Io io = tools::standard_io();
  Arguments arguments;
  add_options(app, arguments);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    std::ostringstream text;
    const bool asked = app.exit(error, text, text) == 0;
    (asked ? io.out : io.err).lines(text.str());
    return tools::finish_output(io, asked ? 0 : 2);
  }
  arguments.options.mount_here = arguments.mount == "daemon";
  arguments.options.direct_unpack = arguments.unpack == "overlay" && ::geteuid() == 0;
  prepare_process();
  spdlog::set_level(spdlog::level::from_str(arguments.log_level));
  const Outcome<void> done = run(arguments);
  if (done) return 0;
  io.err.print("{}: {}\n", kProgram, done.error().sentence);
  return 1;
}

}  // namespace

}  // namespace layerfs::snapshotter

int main(int argc, char** argv) { return layerfs::snapshotter::run_program(argc, argv); }
