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

}  // namespace

void add_container_options(CommandLine& line, ContainerWords& words) {
  line.add_option("-e,--env", words.env, "Set a variable; NAME alone passes on yours")
      .type_name("NAME[=VALUE]")
      .one_at_a_time();
  line.add_option("-v,--volume", words.volumes,
                  "Show a file or directory of this machine in the container")
      .type_name("SRC:DST[:ro]")
      .one_at_a_time();
  line.add_option("-w,--workdir", words.workdir, "Where the command starts").type_name("DIR");
  line.add_option("-u,--user", words.user,
                  "Who runs it: names are those of the image's /etc/passwd and /etc/group")
      .type_name("USER[:GROUP]");
  line.add_option("--entrypoint", words.entrypoint,
                  "Run this instead of the image's entry point; \"\" for none")
      .type_name("PROGRAM");
  line.add_option("--hostname", words.hostname, "The container's host name").type_name("NAME");
  line.add_option("--network", words.network,
                  "host: this machine's network; none: nothing but loopback")
      .one_of({"host", "none"})
      .shows_default()
      .type_name("");
  line.add_option("--seccomp", words.seccomp,
                  "default: system calls that manage the machine are refused; none: no filter")
      .one_of({"default", "none"})
      .shows_default()
      .type_name("");
  line.add_flag("--read-only", words.read_only,
                "The container cannot write, but to its volumes and /dev/shm");
}

Outcome<ContainerOptions> container_options(const ContainerWords& words,
                                            std::vector<std::string> command,
                                            const std::string& hostname) {
  ContainerOptions options;
  options.command = std::move(command);
  options.entrypoint = words.entrypoint;
  LAYERFS_TRY_ASSIGN(options.env, variables(words.env));
  for (const std::string& text : words.volumes) {
    LAYERFS_TRY_ASSIGN(Volume volume, parse_volume(text));
    options.volumes.push_back(std::move(volume));
  }
  options.workdir = words.workdir;
  options.user = words.user;
  options.hostname = words.hostname.empty() ? hostname : words.hostname;
  options.host_network = words.network == "host";
  options.filter_syscalls = words.seccomp == "default";
  options.read_only = words.read_only;
  return options;
}

std::vector<std::string> split_off_command(Args& args) {
  const auto divider = std::ranges::find(args, "--");
  if (divider == args.end()) return {};
  std::vector<std::string> command(divider + 1, args.end());
  args.erase(divider, args.end());
  return command;
}

}  // namespace layerfs::tools
