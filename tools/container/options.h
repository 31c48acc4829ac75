// The command line of `layerfs run` and `layerfs bundle`.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "fs/sys/failure.h"
#include "tools/command_line.h"
#include "tools/container/spec.h"

namespace layerfs::tools {

// What both commands are told.
struct ContainerOrder {
  std::string root;  // the store
  std::string image;
  std::string snapshot;  // empty: a fresh one
  ContainerOptions container;
};

// "OPTIONS IMAGE ... -- COMMAND...".
class ContainerCommandLine {
 public:
  // `description` and `name` as for CommandLine. IMAGE is the first word.
  ContainerCommandLine(const std::string& description, const std::string& name, const Args& given);

  // For words and options of one command alone.
  CommandLine& own() { return line_; }

  // As CommandLine::parse().
  [[nodiscard]] std::optional<int> parse(Io& io);

  // What was given means, once it is parsed; `hostname` is that of a container for which no other
  // is asked. Refuses a variable without a name, and volumes that are not SRC:DST[:ro|:rw], whose
  // source is not there, or whose target is not absolute, and a seccomp profile that cannot be
  // read.
  Outcome<ContainerOrder> order(const std::string& hostname) const;

 private:
  // As it was written.
  struct Words {
    std::vector<std::string> env;
    std::vector<std::string> volumes;  // SRC:DST[:ro]
    std::string workdir;
    std::string user;
    std::string hostname;
    std::string network = "host";
    std::optional<std::string> entrypoint;
    std::string seccomp = "default";
    bool read_only = false;
  };

  void add_shared_options();

  Args args_;                         // what is before the first "--"
  std::vector<std::string> command_;  // what is behind it
  CommandLine line_;
  CommonOptions common_;
  std::string image_;
  std::string snapshot_;
  Words words_;
};

}  // namespace layerfs::tools
