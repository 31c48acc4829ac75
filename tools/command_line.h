// A subcommand's command line, and what all of them have in common.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fs/sys/failure.h"
#include "tools/commands.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace layerfs::tools {

// The options and words that a command takes. The variables that are handed in get what was given,
// when it is parsed: they must outlive the command line, and what they hold before is the default.
class CommandLine {
 public:
  // More about an option. Lives as long as the command line.
  class Option {
   public:
    explicit Option(CLI::Option* option) : option_(option) {}

    Option& required();
    Option& type_name(const std::string& name);  // what --help shows for the value
    Option& envname(const std::string& name);    // the environment variable behind it
    Option& expected(int least, int most);       // of several words: how many
    Option& one_at_a_time();                     // of several words: an option name before each
    Option& one_of(const std::vector<std::string>& values);
    Option& shows_default();  // in --help; what the variable holds now

   private:
    CLI::Option* option_;
  };

  // `name` is how the command is called: "layerfs mount".
  CommandLine(const std::string& description, const std::string& name);
  ~CommandLine();
  CommandLine(const CommandLine&) = delete;
  CommandLine& operator=(const CommandLine&) = delete;

  // `names` is "-e,--env", or a word such as "IMAGE" for what is given without an option's name.
  Option add_option(const std::string& names, std::string& value, const std::string& help);
  Option add_option(const std::string& names, unsigned& value, const std::string& help);
  // Of bytes: 4096, 64K, 1G.
  Option add_size_option(const std::string& names, std::uint64_t& value, const std::string& help);
  Option add_option(const std::string& names, std::uint64_t& value, const std::string& help);
  // Tells an empty value from none.
  Option add_option(const std::string& names, std::optional<std::string>& value,
                    const std::string& help);
  Option add_option(const std::string& names, std::vector<std::string>& values,
                    const std::string& help);
  void add_flag(const std::string& names, bool& value, const std::string& help);

  // The end of --help.
  void footer(const std::string& text);

  // Nothing: go on. A value: --help or an error has been printed, and this is the exit status.
  [[nodiscard]] std::optional<int> parse(const Args& args, Io& io);

 private:
  std::unique_ptr<CLI::App> app_;
};

struct CommonOptions {
  std::string root;   // the store; never empty after CommandLine::parse()
  bool json = false;  // only where add_json_option was called
};

// Adds --root, with LAYERFS_ROOT and default_store_root() behind it.
void add_root_option(CommandLine& line, CommonOptions& options);

// Adds --json: print one JSON document to standard output instead of text for people.
void add_json_option(CommandLine& line, CommonOptions& options);

// /var/lib/layerfs for root of the machine; else $XDG_DATA_HOME/layerfs or ~/.local/share/layerfs,
// also for a user who is root only inside a user namespace.
std::string default_store_root();

// Prints "layerfs: SENTENCE" to io.err and returns kFailed.
int report(Io& io, const Failure& failure);
int report(Io& io, std::string_view sentence);

// "layerfs: warning: SENTENCE" on io.err.
void warn(Io& io, std::string_view sentence);

}  // namespace layerfs::tools
