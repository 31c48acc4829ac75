#include "tools/container/options.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "layerstore/quote.h"

namespace layerfs::tools {

namespace {

namespace stdfs = std::filesystem;

Outcome<Volume> parse_volume(const std::string& text) {
  const std::size_t first = text.find(':');
  const std::size_t second = first == std::string::npos ? first : text.find(':', first + 1);
  Volume volume;
  const std::string mode = second == std::string::npos ? "rw" : text.substr(second + 1);
  if (first == std::string::npos || first == 0 || (mode != "ro" && mode != "rw")) {
    return refuse(store::quote(text) + " is no volume: SRC:DST, or SRC:DST:ro", EINVAL);
  }
  const std::string source = text.substr(0, first);
  const std::string target =
      text.substr(first + 1, second == std::string::npos ? second : second - first - 1);
  std::error_code failed;
  volume.source = stdfs::canonical(source, failed).string();
  if (failed) {
    return refuse("the volume's source " + store::quote(source) + " cannot be used",
                  Errno(failed.value()));
  }
  const stdfs::path normal = stdfs::path(target).lexically_normal();
  volume.target = (normal.has_filename() ? normal : normal.parent_path()).string();
  if (!target.starts_with('/') || volume.target == "/") {
    return refuse(store::quote(target) +
                      " is no place for a volume: an absolute path in the "
                      "container, and not its root",
                  EINVAL);
  }
  volume.read_only = mode == "ro";
  return volume;
}

// "NAME" alone is this process's variable, or nothing.
Outcome<std::vector<std::string>> variables(const std::vector<std::string>& words) {
  std::vector<std::string> env;
  for (const std::string& word : words) {
    if (word.empty() || word.starts_with('=')) {
      return refuse(store::quote(word) + " is no variable: NAME=VALUE, or NAME", EINVAL);
    }
    if (word.find('=') != std::string::npos) {
      env.push_back(word);
    } else if (const char* value = std::getenv(word.c_str())) {
      env.push_back(word + "=" + value);
    }
  }
  return env;
}

// Leaves in `args` what is before the first "--", and returns what is behind it.
std::vector<std::string> split_off_command(Args& args) {
  const auto divider = std::ranges::find(args, "--");
  if (divider == args.end()) return {};
  std::vector<std::string> command(divider + 1, args.end());
  args.erase(divider, args.end());
  return command;
}

}  // namespace

ContainerCommandLine::ContainerCommandLine(const std::string& description, const std::string& name,
                                           const Args& given)
    : args_(given), command_(split_off_command(args_)), line_(description, name) {
  line_.add_option("IMAGE", image_, "The image, as `layerfs images` lists it").required();
}

void ContainerCommandLine::add_shared_options() {
  line_.add_option("-e,--env", words_.env, "Set a variable; NAME alone passes on yours")
      .type_name("NAME[=VALUE]")
      .one_at_a_time();
  line_
      .add_option("-v,--volume", words_.volumes,
                  "Show a file or directory of this machine in the container")
      .type_name("SRC:DST[:ro]")
      .one_at_a_time();
  line_.add_option("-w,--workdir", words_.workdir, "Where the command starts").type_name("DIR");
  line_
      .add_option("-u,--user", words_.user,
                  "Who runs it: names are those of the image's /etc/passwd and /etc/group")
      .type_name("USER[:GROUP]");
  line_
      .add_option("--entrypoint", words_.entrypoint,
                  "Run this instead of the image's entry point; \"\" for none")
      .type_name("PROGRAM");
  line_.add_option("--hostname", words_.hostname, "The container's host name").type_name("NAME");
  line_
      .add_option("--network", words_.network,
                  "host: this machine's network; none: nothing but loopback")
      .one_of({"host", "none"})
      .shows_default()
      .type_name("");
  line_
      .add_option(
          "--seccomp", words_.seccomp,
          "Which system calls are allowed: a profile, or default, that of containers-common, "
          "or unconfined for no filter")
      .shows_default()
      .type_name("FILE");
  line_.add_flag("--read-only", words_.read_only,
                 "The container cannot write, but to its volumes and /dev/shm");
  line_
      .add_option(
          "--snapshot", snapshot_,
          "Write to the snapshot of this name, which stays: a new one, or one that is there")
      .type_name("NAME");
  add_root_option(line_, common_);
}

std::optional<int> ContainerCommandLine::parse(Io& io) {
  add_shared_options();
  return line_.parse(args_, io);
}

Outcome<ContainerOrder> ContainerCommandLine::order(const std::string& hostname) const {
  ContainerOrder order{common_.root, image_, snapshot_, {}};
  ContainerOptions& options = order.container;
  options.command = command_;
  options.entrypoint = words_.entrypoint;
  LAYERFS_TRY_ASSIGN(options.env, variables(words_.env));
  for (const std::string& text : words_.volumes) {
    LAYERFS_TRY_ASSIGN(Volume volume, parse_volume(text));
    options.volumes.push_back(std::move(volume));
  }
  options.workdir = words_.workdir;
  options.user = words_.user;
  options.hostname = words_.hostname.empty() ? hostname : words_.hostname;
  options.host_network = words_.network == "host";
  if (words_.seccomp == "default") {
    LAYERFS_TRY_ASSIGN(options.seccomp, default_seccomp_profile());
  } else if (words_.seccomp != "unconfined" && words_.seccomp != "none") {
    LAYERFS_TRY_ASSIGN(options.seccomp, read_seccomp_profile(words_.seccomp));
  }
  options.read_only = words_.read_only;
  return order;
}

}  // namespace layerfs::tools
