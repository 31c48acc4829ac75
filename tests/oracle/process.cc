#include "tests/oracle/process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "fs/sys/unique_fd.h"

namespace layerfs::oracle {

Outcome<pid_t> start_program(const std::vector<std::string>& arguments, const std::string& log) {
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  const sys::UniqueFd out(::open(log.c_str(), O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600));
  const sys::UniqueFd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (!out) return refuse("no log " + log, Errno::last());
  const pid_t child = ::fork();
  if (child < 0) return refuse("no child process", Errno::last());
  if (child > 0) return child;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::dup2(null.get(), STDIN_FILENO);
  ::dup2(out.get(), STDOUT_FILENO);
  ::dup2(out.get(), STDERR_FILENO);
  ::execvp(argv[0], argv.data());
  ::_exit(127);
}

std::string read_text(const std::string& path) {
  std::ifstream in(path);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

}  // namespace layerfs::oracle
