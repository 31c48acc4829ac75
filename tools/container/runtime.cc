#include "tools/container/runtime.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <sstream>

#include <nlohmann/json.hpp>

#include "layerstore/quote.h"

namespace layerfs::tools {

namespace {

using Args = std::vector<std::string>;

constexpr const char* kMorePrograms =
    "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin";

std::string find_in(std::string_view path, const std::string& name) {
  std::istringstream directories{std::string(path)};
  for (std::string directory; std::getline(directories, directory, ':');) {
    const std::string candidate = (directory.empty() ? "." : directory) + "/" + name;
    if (::access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  return {};
}

struct Spawn {
  bool quiet = false;      // no input, no output
  bool own_group = false;  // a process group of its own
  const sigset_t* mask = nullptr;
};

[[noreturn]] void become(const Args& args, const Spawn& how, pid_t parent) {
  if (how.own_group) ::setpgid(0, 0);
  // A runtime that outlived us would keep the container for nobody.
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (::getppid() != parent) ::_exit(kNotStarted);
  if (how.quiet) {
    const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) ::dup2(null, fd);
  }
  if (how.mask != nullptr) ::sigprocmask(SIG_SETMASK, how.mask, nullptr);
  std::vector<char*> argv;
  for (const std::string& arg : args) argv.push_back(const_cast<char*>(arg.c_str()));
  argv.push_back(nullptr);
  ::execv(argv[0], argv.data());
  ::_exit(kNotStarted);
}

pid_t spawn(const Args& args, const Spawn& how) {
  const pid_t parent = ::getpid();
  const pid_t child = ::fork();
  if (child == 0) become(args, how, parent);
  return child;
}

int status_of(int wait_status) {
  return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : kKilledBy + WTERMSIG(wait_status);
}

int run_quietly(const Args& args) {
  const pid_t child = spawn(args, {.quiet = true});
  if (child < 0) return kNotStarted;
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return status_of(status);
}

// Whether the process does something of its own when the signal comes, or has chosen to ignore it.
bool minds(pid_t pid, int signal) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (!line.starts_with("SigCgt:") && !line.starts_with("SigIgn:")) continue;
    const unsigned long long mask = std::strtoull(line.c_str() + 7, nullptr, 16);
    if ((mask >> (signal - 1) & 1) != 0) return true;
  }
  return false;
}

std::string last_error(const std::string& log) {
  std::ifstream file(log);
  std::string message;
  for (std::string line; std::getline(file, line);) {
    const auto json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!json.is_object() || json.value("level", "") != "error") continue;
    message = json.value("msg", "");
  }
  return message;
}

// What `docker run` answers for such an error of the runtime.
int status_for(const std::string& error) {
  const auto says = [&](const char* text) { return error.find(text) != std::string::npos; };
  if (says("permission denied") || says("Permission denied")) return kNotExecutable;
  const bool about_program = says("exec: ") || says("executable");
  const bool missing = says("not found") || says("no such file") || says("No such file");
  return about_program && missing ? kNotFound : kNotStarted;
}

// One container under way.
class Running {
 public:
  Running(const Runtime& runtime, const std::string& bundle, const std::string& name,
          const SignalWatch& signals)
      : runtime_(runtime), name_(name), pid_file_(bundle + "/pid"), signals_(signals) {}

  Outcome<Ended> run(const Args& args) {
    // Job control is for whoever has the terminal: the runtime stays in its group there, and hears
    // the keyboard's signals by itself.
    own_group_ = ::isatty(STDIN_FILENO) != 1;
    child_ = spawn(args, {.own_group = own_group_, .mask = &signals_.mask_before()});
    if (child_ < 0) return refuse("no process can be started", Errno::last());
    for (;;) {
      const siginfo_t signal = signals_.wait();
      int status = 0;
      if (signal.si_signo != SIGCHLD) {
        forward(signal);
      } else if (::waitpid(child_, &status, WNOHANG) == child_) {
        return Ended{killed_by_ != 0 ? kKilledBy + killed_by_ : status_of(status), {}};
      }
    }
  }

 private:
  void forward(const siginfo_t& signal) {
    const bool from_terminal = signal.si_code == SI_KERNEL;
    if (from_terminal && !own_group_) return;
    pid_t first = 0;
    std::ifstream(pid_file_) >> first;
    if (first > 0 && !minds(first, signal.si_signo)) {
      killed_by_ = signal.si_signo;
      run_quietly({runtime_.program(), "kill", name_, "KILL"});
    } else {
      ::kill(child_, signal.si_signo);
    }
  }

  const Runtime& runtime_;
  const std::string& name_;
  const std::string pid_file_;
  const SignalWatch& signals_;
  pid_t child_ = -1;
  bool own_group_ = false;
  int killed_by_ = 0;
};

}  // namespace

std::string find_program(const std::string& name) {
  if (name.find('/') != std::string::npos) return ::access(name.c_str(), X_OK) == 0 ? name : "";
  const char* path = std::getenv("PATH");
  const std::string found = find_in(path != nullptr ? path : "", name);
  return found.empty() ? find_in(kMorePrograms, name) : found;
}

Outcome<Runtime> Runtime::find(const std::string& wanted) {
  if (!wanted.empty()) {
    const std::string program = find_program(wanted);
    if (!program.empty()) return Runtime(program);
    return refuse("there is no program " + store::quote(wanted) + ", which was named as runtime",
                  ENOENT);
  }
  for (const char* known : {"runc", "crun"}) {
    if (const std::string program = find_program(known); !program.empty()) return Runtime(program);
  }
  return refuse("there is neither runc nor crun, which make containers: install the package runc",
                ENOENT);
}

bool Runtime::knows(const std::string& name) const {
  return run_quietly({program_, "state", name}) == 0;
}

Outcome<Ended> Runtime::run(const std::string& bundle, const std::string& name,
                            const SignalWatch& signals) const {
  const std::string log = bundle + "/runtime.log";
  LAYERFS_TRY_ASSIGN(Ended ended,
                     Running(*this, bundle, name, signals)
                         .run({program_, "--log", log, "--log-format", "json", "run", "--bundle",
                               bundle, "--pid-file", bundle + "/pid", name}));
  if (ended.status == 0) return ended;
  const std::string error = last_error(log);
  if (error.empty()) return ended;
  return Ended{status_for(error), "the container did not start: " + error};
}

void Runtime::remove(const std::string& name) const {
  run_quietly({program_, "delete", "--force", name});
}

}  // namespace layerfs::tools
