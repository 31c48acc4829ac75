// An OCI runtime: the program that makes containers, called by the command line that runc and crun
// have in common.
#pragma once

#include <string>
#include <vector>

#include "fs/sys/failure.h"
#include "tools/container/signals.h"

namespace layerfs::tools {

// As for `docker run`: what the command itself cannot be mistaken for.
inline constexpr int kNotStarted = 125;
inline constexpr int kNotExecutable = 126;
inline constexpr int kNotFound = 127;
inline constexpr int kKilledBy = 128;  // plus the signal's number

// The path of `name` where programs are looked for: PATH, then where administrators' programs are,
// which users without root often lack there. "" if there is none; a name with a slash is a path.
std::string find_program(const std::string& name);

// How a container ended.
struct Ended {
  int status = 0;
  std::string sentence;  // why it did not start; else empty
};

class Runtime {
 public:
  // The program `wanted` (a name or a path), or runc, or crun.
  static Outcome<Runtime> find(const std::string& wanted);

  const std::string& program() const { return program_; }

  // Whether there is a container of that name.
  bool knows(const std::string& name) const;

  // Runs the bundle's container to its end, with this process's standard input, output and error.
  // Signals go to the container's first process; one that this has no handler for does what it does
  // to an ordinary process, though the kernel spares the first of a PID namespace. Writes "pid" and
  // "runtime.log" into the bundle.
  Outcome<Ended> run(const std::string& bundle, const std::string& name,
                     const SignalWatch& signals) const;

  // Kills and forgets the container, if it is there.
  void remove(const std::string& name) const;

 private:
  explicit Runtime(std::string program) : program_(std::move(program)) {}

  std::string program_;
};

}  // namespace layerfs::tools
