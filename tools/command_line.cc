#include "tools/command_line.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <ostream>

#include <CLI/CLI.hpp>

namespace layerfs::tools {

namespace {

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

// The initial user namespace maps every id to itself.
bool in_initial_user_namespace() {
  std::ifstream map("/proc/self/uid_map");
  unsigned long inside = 0, outside = 0, count = 0;
  return map >> inside >> outside >> count && inside == 0 && outside == 0 && count >= 0xffffffffUL;
}

}  // namespace

std::string default_store_root() {
  if (::geteuid() == 0 && in_initial_user_namespace()) return "/var/lib/layerfs";
  if (std::string data = environment("XDG_DATA_HOME"); !data.empty()) return data + "/layerfs";
  return environment("HOME") + "/.local/share/layerfs";
}

void add_root_option(CLI::App& app, CommonOptions& options) {
  options.root = default_store_root();
  app.add_option(
         "--root", options.root,
         "The store's directory (for root /var/lib/layerfs, else in the XDG data directory)")
      ->envname("LAYERFS_ROOT")
      ->type_name("DIR");
}

void add_json_option(CLI::App& app, CommonOptions& options) {
  app.add_flag("--json", options.json, "Print JSON for programs");
}

std::optional<int> parse(CLI::App& app, const Args& args, Io& io) {
  try {
    app.parse(std::vector<std::string>(args.rbegin(), args.rend()));
    return std::nullopt;
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error, io.out, io.err);
    report(io, error.what());
    io.err << "`" << app.get_name() << " --help` shows how it is used.\n";
    return kUsage;
  }
}

int report(Io& io, std::string_view sentence) {
  io.err << "layerfs: " << sentence << "\n";
  return kFailed;
}

int report(Io& io, const Failure& failure) { return report(io, failure.sentence); }

void warn(Io& io, std::string_view sentence) { io.err << "layerfs: warning: " << sentence << "\n"; }

}  // namespace layerfs::tools
