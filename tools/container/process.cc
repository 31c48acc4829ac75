// process_of() of spec.h.
#include <algorithm>
#include <filesystem>
#include <string_view>

#include "layerstore/quote.h"
#include "tools/container/spec.h"

namespace layerfs::tools {

namespace {

// What Docker and podman set where an image says nothing.
constexpr const char* kDefaultPath =
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

std::string_view name_of(std::string_view variable) {
  return variable.substr(0, variable.find('='));
}

// The last of a name wins, at the place of the first.
void set_variable(std::vector<std::string>& env, const std::string& variable) {
  if (variable.find('=') == std::string::npos || variable.starts_with('=')) return;
  const auto known = std::ranges::find(env, name_of(variable), name_of);
  if (known == env.end()) {
    env.push_back(variable);
  } else {
    *known = variable;
  }
}

void set_default(std::vector<std::string>& env, const std::string& variable) {
  if (std::ranges::find(env, name_of(variable), name_of) == env.end()) env.push_back(variable);
}

Outcome<std::vector<std::string>> args_of(const store::ImageConfig& image,
                                          const ContainerOptions& options) {
  std::vector<std::string> args = image.entrypoint;
  std::vector<std::string> rest = image.cmd;
  if (options.entrypoint) {
    args.clear();
    rest.clear();  // Cmd was meant for the other entry point
    if (!options.entrypoint->empty()) args.push_back(*options.entrypoint);
  }
  if (!options.command.empty()) rest = options.command;
  args.insert(args.end(), rest.begin(), rest.end());
  if (!args.empty() && !args.front().empty()) return args;
  return refuse("the image does not say what to run; give a command behind --");
}

Outcome<std::string> cwd_of(const store::ImageConfig& image, const ContainerOptions& options) {
  if (!options.workdir.empty()) {
    if (options.workdir.starts_with('/')) return options.workdir;
    return refuse("the working directory " + store::quote(options.workdir) +
                  " is not absolute: --workdir names a directory in the container");
  }
  // A relative one is taken from the root, as Docker does.
  return (std::filesystem::path("/") / image.working_dir).lexically_normal().string();
}

}  // namespace

Outcome<Process> process_of(const store::ImageConfig& image, const ContainerOptions& options,
                            const ContainerUser& user, bool terminal) {
  Process process;
  LAYERFS_TRY_ASSIGN(process.args, args_of(image, options));
  LAYERFS_TRY_ASSIGN(process.cwd, cwd_of(image, options));
  for (const std::string& variable : image.env) set_variable(process.env, variable);
  for (const std::string& variable : options.env) set_variable(process.env, variable);
  set_default(process.env, kDefaultPath);
  set_default(process.env, "HOME=" + user.home);
  if (terminal) set_default(process.env, "TERM=xterm");
  process.user = user;
  return process;
}

}  // namespace layerfs::tools
