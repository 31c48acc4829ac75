#include "tools/command_line.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>

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

CommandLine::Option& CommandLine::Option::required() {
  option_->required();
  return *this;
}

CommandLine::Option& CommandLine::Option::type_name(const std::string& name) {
  option_->type_name(name);
  return *this;
}

CommandLine::Option& CommandLine::Option::envname(const std::string& name) {
  option_->envname(name);
  return *this;
}

CommandLine::Option& CommandLine::Option::expected(int least, int most) {
  option_->expected(least, most);
  return *this;
}

CommandLine::Option& CommandLine::Option::one_at_a_time() {
  option_->allow_extra_args(false);
  return *this;
}

CommandLine::Option& CommandLine::Option::one_of(const std::vector<std::string>& values) {
  option_->check(CLI::IsMember(values));
  return *this;
}

CommandLine::Option& CommandLine::Option::shows_default() {
  option_->capture_default_str();
  return *this;
}

CommandLine::CommandLine(const std::string& description, const std::string& name)
    : app_(std::make_unique<CLI::App>(description, name)) {}

CommandLine::~CommandLine() = default;

CommandLine::Option CommandLine::add_option(const std::string& names, std::string& value,
                                            const std::string& help) {
  return Option(app_->add_option(names, value, help));
}

CommandLine::Option CommandLine::add_option(const std::string& names, unsigned& value,
                                            const std::string& help) {
  return Option(app_->add_option(names, value, help));
}

CommandLine::Option CommandLine::add_option(const std::string& names, std::uint64_t& value,
                                            const std::string& help) {
  return Option(app_->add_option(names, value, help));
}

CommandLine::Option CommandLine::add_size_option(const std::string& names, std::uint64_t& value,
                                                 const std::string& help) {
  return Option(app_->add_option(names, value, help)->transform(CLI::AsSizeValue(false)));
}

CommandLine::Option CommandLine::add_option(const std::string& names,
                                            std::optional<std::string>& value,
                                            const std::string& help) {
  const auto set = [&value](const std::string& given) { value = given; };
  return Option(app_->add_option_function<std::string>(names, set, help));
}

CommandLine::Option CommandLine::add_option(const std::string& names,
                                            std::vector<std::string>& values,
                                            const std::string& help) {
  return Option(app_->add_option(names, values, help));
}

void CommandLine::add_flag(const std::string& names, bool& value, const std::string& help) {
  app_->add_flag(names, value, help);
}

void CommandLine::footer(const std::string& text) { app_->footer(text); }

std::optional<int> CommandLine::parse(const Args& args, Io& io) {
  try {
    app_->parse(std::vector<std::string>(args.rbegin(), args.rend()));
    return std::nullopt;
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) {
      std::ostringstream help;
      const int status = app_->exit(error, help, help);
      io.out.lines(help.str());
      return status;
    }
    report(io, error.what());
    io.err.print("`{} --help` shows how it is used.\n", app_->get_name());
    return kUsage;
  }
}

void add_root_option(CommandLine& line, CommonOptions& options) {
  options.root = default_store_root();
  line.add_option(
          "--root", options.root,
          "The store's directory (for root /var/lib/layerfs, else in the XDG data directory)")
      .envname("LAYERFS_ROOT")
      .type_name("DIR");
}

void add_json_option(CommandLine& line, CommonOptions& options) {
  line.add_flag("--json", options.json, "Print JSON for programs");
}

int report(Io& io, std::string_view sentence) {
  io.err.print("layerfs: {}\n", sentence);
  return kFailed;
}

int report(Io& io, const Failure& failure) { return report(io, failure.sentence); }

void warn(Io& io, std::string_view sentence) { io.err.print("layerfs: warning: {}\n", sentence); }

}  // namespace layerfs::tools
