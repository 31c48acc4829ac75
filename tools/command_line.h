// What every subcommand's command line has in common.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "fs/sys/failure.h"
#include "tools/commands.h"

namespace CLI {
class App;
}

namespace layerfs::tools {

struct CommonOptions {
  std::string root;   // the store; never empty after parse()
  bool json = false;  // only where add_json_option was called
};

// Adds --root, with LAYERFS_ROOT and default_store_root() behind it. `options` must outlive `app`.
void add_root_option(CLI::App& app, CommonOptions& options);

// Adds --json: print one JSON document to standard output instead of text for people.
void add_json_option(CLI::App& app, CommonOptions& options);

// Parses. Nothing: go on. A value: --help or an error has been printed, and this is the exit
// status.
[[nodiscard]] std::optional<int> parse(CLI::App& app, const Args& args, Io& io);

// /var/lib/layerfs for root of the machine; else $XDG_DATA_HOME/layerfs or ~/.local/share/layerfs,
// also for a user who is root only inside a user namespace.
std::string default_store_root();

// Prints "layerfs: SENTENCE" to io.err and returns kFailed.
int report(Io& io, const Failure& failure);
int report(Io& io, std::string_view sentence);

// "layerfs: warning: SENTENCE" on io.err.
void warn(Io& io, std::string_view sentence);

}  // namespace layerfs::tools
