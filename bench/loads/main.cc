// bench-loads LOAD --root DIR ...: does one load in one or more processes and prints
// "SECONDS OPERATIONS".
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <new>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "bench/loads/load.h"

namespace layerfs::bench {

void give_up(std::string_view what) {
  fmt::print(stderr, "bench-loads: {}: {}\n", what, std::strerror(errno));
  std::_Exit(1);
}

namespace {

using Clock = std::chrono::steady_clock;

// What the processes share: nobody starts before all are there.
struct Common {
  std::atomic<unsigned> ready = 0;
  std::atomic<bool> go = false;
  std::atomic<std::size_t> operations = 0;
};

std::vector<Share> shares_of(const Share& whole, const std::string& list, unsigned processes) {
  std::vector<Share> shares(processes, whole);
  for (unsigned i = 0; i < processes; ++i) {
    shares[i].process = i;
    shares[i].count = whole.count / processes;
  }
  if (list.empty()) return shares;
  std::ifstream lines(list);
  if (!lines) give_up(list);
  std::size_t at = 0;
  for (std::string line; std::getline(lines, line);) shares[at++ % processes].names.push_back(line);
  return shares;
}

[[noreturn]] void run_child(Common& common, const Load& load, const Share& share) {
  ++common.ready;
  while (!common.go) usleep(50);
  common.operations += load.run(share);
  std::_Exit(0);
}

// Seconds from the start of the first to the end of the last.
double run_in_children(Common& common, const Load& load, const std::vector<Share>& shares) {
  std::vector<pid_t> children;
  for (const Share& share : shares) {
    const pid_t child = fork();
    if (child < 0) give_up("fork");
    if (child == 0) run_child(common, load, share);
    children.push_back(child);
  }
  while (common.ready < shares.size()) usleep(50);
  const auto begin = Clock::now();
  common.go = true;
  bool failed = false;
  for (const pid_t child : children) {
    int status = 0;
    waitpid(child, &status, 0);
    failed = failed || status != 0;
  }
  if (failed) std::_Exit(1);
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

double run_here(Common& common, const Load& load, const Share& share) {
  const auto begin = Clock::now();
  common.operations = load.run(share);
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

int main_of(int argc, char** argv) {
  CLI::App app(
      "One load of bench/run; prints how many seconds it took and how many operations "
      "it was.");
  app.require_subcommand(1);
  Share whole;
  std::string list;
  unsigned processes = 1;
  const Load* chosen = nullptr;
  std::vector<Load> loads = metadata_loads();
  for (const Load& load : data_loads()) loads.push_back(load);
  for (const Load& load : loads) {
    CLI::App* command = app.add_subcommand(std::string(load.name), std::string(load.help));
    command->add_option("--root", whole.root, "directory or file to work on")->required();
    command->add_option("--list", list, "file with names relative to --root, one a line");
    command->add_option("--count", whole.count, "operations, shared among the processes");
    command->add_option("--size", whole.size, "bytes");
    command->add_option("--processes", processes, "at once")->check(CLI::Range(1, 64));
    command->callback([&chosen, &load] { chosen = &load; });
  }
  CLI11_PARSE(app, argc, argv);

  void* shared =
      mmap(nullptr, sizeof(Common), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) give_up("mmap");
  auto& common = *new (shared) Common;
  const std::vector<Share> shares = shares_of(whole, list, processes);
  const double seconds = processes == 1 ? run_here(common, *chosen, shares.front())
                                        : run_in_children(common, *chosen, shares);
  fmt::print("{:.9f} {}\n", seconds, common.operations.load());
  return 0;
}

}  // namespace
}  // namespace layerfs::bench

int main(int argc, char** argv) { return layerfs::bench::main_of(argc, argv); }
